//! What is no disk image: media, wrappers, images of a kind that is not read.

use crate::{Bytes, Case, Expected, streams};

/// A medium of 40 KiB with a volume descriptor.
pub fn iso() -> Bytes {
    let mut disc = Bytes::new();
    disc.put(32768, b"\x01CD001\x01")
        .le32(32768 + 80, 20)
        .le16(32768 + 128, 2048)
        .put(34816, b"\xffCD001\x01");
    disc.resize(40960);
    disc
}

/// A gzip member (RFC 1952) of `length` bytes of zeroes.
fn gzip(length: usize) -> Vec<u8> {
    let zeroes = vec![0; length];
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    member.extend(streams::deflate_run(0, length));
    member.extend(streams::crc32(&zeroes).to_le_bytes());
    member.extend(u32::try_from(length).expect("a small member").to_le_bytes());
    member
}

fn foreign(name: &str, declared: &'static str, what: &str, image: Bytes, expected: Expected) -> Case {
    let mut case = Case::new(&format!("foreign-{name}"), what, declared, image, expected);
    case.files[0].0 = format!("foreign-{name}.bin");
    case
}

/// All of them.
pub fn cases() -> Vec<Case> {
    const AMBIGUOUS: Expected = Expected::Refused(&["denied.ambiguous-content"]);
    let small = |pieces: &[(u64, &[u8])]| {
        let mut file = Bytes::new();
        pieces.iter().for_each(|(at, bytes)| {
            file.put(*at, bytes);
        });
        let size = file.size().max(70_000);
        file.resize(size);
        file
    };
    let mut trailing = gzip(1 << 20);
    trailing.extend(gzip(1 << 20));
    let bomb: Vec<u8> = streams::zstd_run(0, 1 << 30, 1 << 30);
    let mut hybrid = iso();
    hybrid.put(510, &[0x55, 0xaa]);
    let mut locked = iso();
    locked.put(0, b"LUKS\xba\xbe\0\x02");
    vec![
        foreign("iso", "qcow2", "a disc image declared as qcow2", iso(), AMBIGUOUS),
        foreign("iso-hybrid", "vmdk", "a hybrid disc image declared as vmdk", hybrid, AMBIGUOUS),
        foreign("udf", "qcow2", "a UDF disc", small(&[(32769, b"BEA01"), (34817, b"NSR03")]), AMBIGUOUS),
        foreign("iso-luks", "raw", "a disc image that is a LUKS volume", locked, AMBIGUOUS),
        foreign(
            "gzip-bomb",
            "qcow2",
            "gzip that unpacks to a thousand times its size",
            gzip(4 << 20).as_slice().into(),
            AMBIGUOUS,
        ),
        foreign("gzip-trailing", "raw", "two gzip members", trailing.as_slice().into(), AMBIGUOUS),
        foreign(
            "xz-bomb",
            "qcow2",
            "xz with a dictionary of 4 GiB",
            small(&[(0, b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x28")]),
            AMBIGUOUS,
        ),
        foreign("zstd-bomb", "qcow2", "zstd: 1 GiB in 33 KB", bomb.as_slice().into(), AMBIGUOUS),
        foreign(
            "zstd-skippable",
            "raw",
            "zstd behind a skippable frame",
            [streams::zstd_skippable(16), bomb].concat().as_slice().into(),
            AMBIGUOUS,
        ),
        foreign("bzip2", "vhd", "bzip2", small(&[(0, b"BZh9\x31\x41\x59\x26\x53\x59")]), AMBIGUOUS),
        foreign(
            "tar",
            "ova",
            "tar without a description",
            small(&[(0, b"disk.raw"), (257, b"ustar\x0000")]),
            AMBIGUOUS,
        ),
        foreign("qed", "qcow2", "QED", small(&[(0, b"QED\0")]), AMBIGUOUS),
        foreign("parallels", "vdi", "Parallels", small(&[(0, b"WithouFreSpacExt")]), AMBIGUOUS),
        foreign(
            "dmg",
            "raw",
            "an Apple disk image",
            small(&[(69_488, b"koly\0\0\0\x04\0\0\x02\0")]),
            AMBIGUOUS,
        ),
        foreign("luks", "qcow2", "a LUKS volume", small(&[(0, b"LUKS\xba\xbe\0\x01")]), AMBIGUOUS),
    ]
}
