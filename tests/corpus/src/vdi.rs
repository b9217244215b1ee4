//! VDI: headers and block maps (VirtualBox, `VDICore.h`, version 1.1).

use crate::{
    Bait, Bytes, Case, Expected,
    fields::{self, Order},
};

const MIB: u64 = 1 << 20;
const MAP: u64 = 512;
const DATA: u64 = MIB;

/// A dynamic image of 8 MiB in blocks of 1 MiB, of which the first is there.
pub fn dynamic() -> Bytes {
    let mut image = Bytes::new();
    image.put(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n").le32(64, 0xbeda_107f).le32(68, 0x0001_0001);
    image.le32(72, 0x190).le32(76, 1).le32(0x154, 512).le32(0x158, 1 << 20).le32(0x168, 512);
    image.le64(0x170, 8 * MIB).le32(0x178, 1 << 20).le32(0x180, 8).le32(0x184, 1).put(0x188, &[0x33; 16]);
    image.put(MAP, &[0xff; 32]).le32(MAP, 0).put(DATA, &[0x5a; 8192]).resize(2 * MIB);
    image
}

const FIELDS: [fields::Field; 12] = [
    ("version", 68, 4),
    ("header-size", 72, 4),
    ("type", 76, 4),
    ("flags", 80, 4),
    ("map-offset", 0x154, 4),
    ("data-offset", 0x158, 4),
    ("sector", 0x168, 4),
    ("size", 0x170, 8),
    ("block-size", 0x178, 4),
    ("extra", 0x17c, 4),
    ("blocks", 0x180, 4),
    ("allocated", 0x184, 4),
];

/// All of them.
pub fn cases(_bait: &Bait) -> Vec<Case> {
    const CORRUPT: Expected = Expected::Refused(&["corrupt."]);
    const LIMIT: Expected = Expected::Refused(&["limit.", "corrupt."]);
    let spoilt = |id: &str, what: &str, expected, spoil: &dyn Fn(&mut Bytes)| {
        let mut image = dynamic();
        spoil(&mut image);
        Case::new(id, what, "vdi", image, expected)
    };
    let aliased = |blocks: u32| {
        move |file: &mut Bytes| {
            file.le64(0x170, u64::from(blocks) * MIB).le32(0x180, blocks).le32(0x184, blocks);
            let table = u64::from(blocks) * 4;
            let data = (MAP + table).next_multiple_of(MIB);
            file.le32(0x158, u32::try_from(data).expect("a small table"));
            file.put(MAP, &vec![0; usize::try_from(table).expect("a small table")]).resize(data + MIB);
        }
    };
    let mut cases = vec![
        spoilt("d01", "16 GiB of one block", Expected::Refused(&["corrupt.aliased"]), &aliased(16384))
            .qemu("fills the disk"),
        spoilt("d01b", "1 TiB of one block", Expected::Refused(&["corrupt.aliased"]), &aliased(1 << 20)),
        spoilt("d02", "536 million blocks", LIMIT, &|file| {
            file.le32(0x180, 0x2000_0000).le64(0x170, 0x2000_0000 * MIB);
        })
        .qemu("hangs"),
        spoilt("d03", "a block behind the end of the file", Expected::Refused(&["corrupt."]), &|file| {
            file.le32(MAP, 1000).le32(0x184, 1);
        })
        .qemu("exit 0, zeroes"),
        spoilt("d04", "differencing", Expected::Refused(&["denied.external-reference"]), &|file| {
            file.le32(76, 4).put(0x1b8, &[0x44; 16]);
        })
        .qemu("accepted"),
        spoilt("vdi-undo", "an undo image", Expected::Refused(&["denied.", "unsupported."]), &|file| {
            file.le32(76, 3);
        }),
        spoilt("vdi-good", "a dynamic image", Expected::ReadSafely, &|_| {}),
        spoilt("vdi-free", "blocks that are free and zero", Expected::ReadSafely, &|file| {
            file.le32(MAP, 0xffff_ffff).le32(MAP + 4, 0xffff_fffe).le32(0x184, 0);
        }),
        spoilt("vdi-twice", "one block twice", Expected::Refused(&["corrupt.aliased"]), &|file| {
            file.le32(MAP + 4, 0).le32(0x184, 2);
        }),
        spoilt("vdi-map-far", "a map behind the end of the file", CORRUPT, &|file| {
            file.le32(0x154, 0xffff_fe00);
        }),
        spoilt("vdi-map-in-header", "a map that is the header", CORRUPT, &|file| {
            file.le32(0x154, 0);
        }),
        spoilt("vdi-data-in-header", "blocks that begin in the header", CORRUPT, &|file| {
            file.le32(0x158, 0);
        }),
        spoilt("vdi-few", "fewer blocks than the disk has", CORRUPT, &|file| {
            file.le32(0x180, 7);
        }),
        spoilt("vdi-block-zero", "blocks of 0 bytes", CORRUPT, &|file| {
            file.le32(0x178, 0);
        }),
        spoilt(
            "vdi-sector",
            "sectors of 4096 bytes",
            Expected::Refused(&["corrupt.", "unsupported."]),
            &|file| {
                file.le32(0x168, 4096);
            },
        ),
        spoilt("vdi-size", "a disk of 2^63 bytes", LIMIT, &|file| {
            file.le64(0x170, 1 << 63);
        }),
    ];
    cases.extend(fields::variants("vdi", "header", Order::Little, &dynamic(), &FIELDS, |_| {}));
    let cut = &["corrupt."];
    cases.extend(fields::truncations(
        "vdi",
        &dynamic(),
        &[72, 80, 400, 512, 520, DATA, DATA + 4096, 2 * MIB - 1],
        cut,
    ));
    cases
}
