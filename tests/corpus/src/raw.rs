//! Raw disks that are something else, and paths that are no files.

use crate::{Bait, Bytes, Case, Content, Expected, qcow2::Forge};

const AMBIGUOUS: Expected = Expected::Refused(&["denied.ambiguous-content"]);

/// A disk with a partition table.
pub fn with_table() -> Bytes {
    let mut disk = Bytes::new();
    disk.put(446, &[0x80, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0]).put(510, &[0x55, 0xaa]);
    disk.put(4096, &[0x5a; 8192]).resize(1 << 20);
    disk
}

fn marked(id: &str, what: &str, expected: Expected, at: u64, mark: &[u8]) -> Case {
    let mut disk = Bytes::new();
    disk.put(at, mark).resize(1 << 20);
    Case::new(id, what, "raw", disk, expected)
}

fn path(id: &str, what: &str, content: Content, expected: Expected) -> Case {
    Case { files: vec![(format!("{id}.raw"), content)], ..Case::new(id, what, "raw", Bytes::new(), expected) }
}

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    let mut backed = Forge::new();
    backed.backing(&format!(
        r#"json:{{"driver":"raw","file":{{"driver":"file","filename":"{}"}}}}"#,
        bait.file
    ));
    let mut disc: Bytes = Forge::new().into();
    disc.put(32768, b"\x01CD001\x01");
    let mut both = disc.clone();
    both.resize(7 << 20);
    let mut footed: Bytes = Forge::new().into();
    footed.push(&crate::vhd::footer(1 << 20, 2, u64::MAX));
    let mut packed: Bytes = Forge::new().into();
    packed.put(257, b"ustar\x0000");
    let mut text = Bytes::new();
    text.put(0, format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 128 FLAT \"{}\" 0\n", bait.file).as_bytes()).resize(1 << 20);
    let link = format!("link-{}.raw", "target");
    let mut linked = path(
        "raw-link",
        "a symbolic link to a file that is not the upload",
        Content::Link(link.clone()),
        Expected::ReadSafely,
    );
    linked.files.push((link, Content::File(with_table())));
    let marks: [(&str, u64, &[u8]); 14] = [
        ("qcow2", 0, b"QFI\xfb\0\0\0\x03"),
        ("qcow1", 0, b"QFI\xfb\0\0\0\x01"),
        ("qed", 0, b"QED\0"),
        ("vmdk", 0, b"KDMV\x01\0\0\0"),
        ("cowd", 0, b"COWD"),
        ("vhd", 0, b"conectix"),
        ("vhd-fixed", (1 << 20) - 512, b"conectix"),
        ("vhdx", 0, b"vhdxfile"),
        ("vdi", 64, b"\x7f\x10\xda\xbe"),
        ("parallels", 0, b"WithoutFreeSpace"),
        ("luks", 0, b"LUKS\xba\xbe\0\x02"),
        ("dmg", (1 << 20) - 512, b"koly\0\0\0\x04\0\0\x02\0"),
        ("gzip", 0, b"\x1f\x8b\x08\0"),
        ("xz", 0, b"\xfd7zXZ\0"),
    ];
    let mut cases = vec![
        Case::new(
            "r01",
            "a raw disk that begins like a qcow2 file with a backing file",
            "raw",
            backed.into(),
            AMBIGUOUS,
        )
        .qemu("leaks when it is probed"),
        Case::new("r02", "a disc image that begins like a qcow2 file", "raw", disc, AMBIGUOUS)
            .qemu("leaks when it is probed"),
        Case::new("r02-qcow2", "the same, declared as qcow2", "qcow2", both, AMBIGUOUS),
        Case::new("poly-qcow2-vhd", "a qcow2 file with the footer of a VHD", "qcow2", footed, AMBIGUOUS),
        Case::new("poly-qcow2-tar", "a qcow2 file that is also a tar archive", "qcow2", packed, AMBIGUOUS),
        Case::new("raw-vmdk-text", "a raw disk that is a VMDK descriptor", "raw", text, AMBIGUOUS)
            .qemu("leaks when it is probed"),
        Case::new("raw-good", "a raw disk with a partition table", "raw", with_table(), Expected::ReadSafely),
        Case::new(
            "raw-odd",
            "a raw disk that ends within a sector",
            "raw",
            {
                let mut disk = with_table();
                disk.resize(1_000_001);
                disk
            },
            Expected::ReadSafely,
        ),
        Case::new("raw-empty", "an empty file", "raw", Bytes::new(), Expected::ReadSafely),
        Case::new(
            "raw-tebibytes",
            "16 TiB without a byte",
            "raw",
            {
                let mut disk = Bytes::new();
                disk.resize((16 << 40) - 4096);
                disk
            },
            Expected::Either,
        ),
        path("raw-fifo", "a named pipe", Content::Fifo, Expected::Refused(&["invalid.source"])),
        path("raw-folder", "a folder", Content::Folder, Expected::Refused(&["io.open"])),
        path(
            "raw-device",
            "a link to a device",
            Content::Link("/dev/zero".to_owned()),
            Expected::Refused(&["invalid.source"]),
        ),
        path(
            "raw-loop",
            "a link to itself",
            Content::Link("raw-loop.raw".to_owned()),
            Expected::Refused(&["io.open"]),
        ),
        linked,
    ];
    for (word, at, mark) in marks {
        let what = format!("a raw disk with the mark of {word}");
        cases.push(marked(&format!("raw-mark-{word}"), &what, AMBIGUOUS, at, mark));
    }
    cases
}
