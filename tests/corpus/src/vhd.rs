//! VHD: footers, dynamic headers and block tables (Microsoft, "Virtual Hard Disk Image Format
//! Specification", 1.0).

use crate::{
    Bait, Bytes, Case, Expected,
    fields::{self, Order},
};

const MIB: u64 = 1 << 20;
/// Where the pieces of a dynamic image are.
const HEADER: u64 = 512;
const TABLE: u64 = 1536;
/// Sector of the first block: its data is at 4096.
const BLOCK: u32 = 7;
const BLOCK_SIZE: u64 = 2 * MIB;
/// Offsets in a footer.
const FOOTER_CHECKSUM: u64 = 64;
/// Offsets in a dynamic header.
const HEADER_CHECKSUM: u64 = 36;

/// The complement of the sum of all bytes, with the field itself taken as zero.
fn checksum(bytes: &[u8], at: u64) -> u32 {
    let field = at..at + 4;
    let sum =
        (0..).zip(bytes).filter(|(offset, _)| !field.contains(offset)).map(|(_, byte)| u32::from(*byte));
    !sum.fold(0, u32::wrapping_add)
}

/// A footer with its checksum; `kind` is 2 fixed, 3 dynamic, 4 differencing.
pub fn footer(size: u64, kind: u32, data_offset: u64) -> Vec<u8> {
    let mut footer = Bytes::new();
    footer.put(0, b"conectix").be32(8, 2).be32(12, 0x1_0000).be64(16, data_offset);
    footer.put(28, b"win ").be32(32, 0xa_0000).put(36, b"Wi2k").be64(40, size).be64(48, size);
    // 8 MiB in cylinders, heads and sectors, as the specification's appendix counts; readers take
    // the size.
    footer.be16(56, 240).put(58, &[4, 17]).be32(60, kind).put(68, &[0x11; 16]).resize(512);
    let sum = checksum(&footer.to_vec(), FOOTER_CHECKSUM);
    footer.be32(FOOTER_CHECKSUM, sum);
    footer.to_vec()
}

/// A fixed image.
pub fn fixed(size: u64) -> Bytes {
    let mut image = Bytes::new();
    image.put(4096, &[0x5a; 4096]).put(size, &footer(size, 2, u64::MAX));
    image
}

/// A dynamic image of 8 MiB in blocks of 2 MiB, of which the first is there.
#[derive(Clone)]
pub struct Dynamic {
    /// The file, to be spoilt; footer copy, header and table are at the begin.
    pub file: Bytes,
    /// Where the footer at the end goes.
    pub end: u64,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self::new()
    }
}

impl Dynamic {
    /// The valid image.
    pub fn new() -> Self {
        let mut file = Bytes::new();
        file.put(0, &footer(8 * MIB, 3, HEADER));
        file.put(HEADER, b"cxsparse").be64(HEADER + 8, u64::MAX).be64(HEADER + 16, TABLE);
        file.be32(HEADER + 24, 0x1_0000).be32(HEADER + 28, 4).be32(HEADER + 32, 2 << 20);
        file.put(TABLE, &[0xff; 512]).be32(TABLE, BLOCK);
        let block = u64::from(BLOCK) * 512;
        file.put(block, &[0xff; 512]).put(block + 512, &[0x5a; 8192]);
        Self { file, end: block + 512 + BLOCK_SIZE }
    }

    /// Mends the checksums of both structures and puts the footer at the end.
    pub fn seal(&self) -> Bytes {
        let mut file = self.file.clone();
        seal(&mut file);
        let copy = file.get(0, 512);
        file.put(self.end, &copy);
        file
    }

    fn spoilt(mut self, spoil: impl FnOnce(&mut Bytes)) -> Bytes {
        spoil(&mut self.file);
        self.seal()
    }
}

fn seal(file: &mut Bytes) {
    let sum = checksum(&file.get(0, 512), FOOTER_CHECKSUM);
    file.be32(FOOTER_CHECKSUM, sum);
    let sum = checksum(&file.get(HEADER, 1024), HEADER_CHECKSUM);
    file.be32(HEADER + HEADER_CHECKSUM, sum);
}

const FOOTER_FIELDS: [fields::Field; 8] = [
    ("features", 8, 4),
    ("version", 12, 4),
    ("data-offset", 16, 8),
    ("original-size", 40, 8),
    ("current-size", 48, 8),
    ("cylinders", 56, 2),
    ("type", 60, 4),
    ("checksum", 64, 4),
];

const HEADER_FIELDS: [fields::Field; 6] = [
    ("data-offset", HEADER + 8, 8),
    ("table-offset", HEADER + 16, 8),
    ("version", HEADER + 24, 4),
    ("entries", HEADER + 28, 4),
    ("block-size", HEADER + 32, 4),
    ("checksum", HEADER + 36, 4),
];

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    const ALIASED: Expected = Expected::Refused(&["corrupt.aliased"]);
    const LIMIT: Expected = Expected::Refused(&["limit.", "corrupt."]);
    const CORRUPT: Expected = Expected::Refused(&["corrupt."]);
    let case = |id: &str, what: &str, image: Bytes, expected| Case::new(id, what, "vhd", image, expected);
    let spoilt = |id: &str, what: &str, expected, spoil: &dyn Fn(&mut Bytes)| {
        case(id, what, Dynamic::new().spoilt(spoil), expected)
    };
    let entries = |entries: u64| {
        let mut image = Dynamic::new();
        let size = entries * BLOCK_SIZE;
        let count = u32::try_from(entries).expect("blocks of a VHD");
        let block = u32::try_from((TABLE + entries * 4).div_ceil(512)).expect("a small table");
        image.file = Bytes::new();
        let original = Dynamic::new().file;
        image.file.put(0, &original.get(0, 1536)).be64(40, size).be64(48, size).be32(HEADER + 28, count);
        image.file.put(TABLE, &block.to_be_bytes().repeat(usize::try_from(entries).expect("a small table")));
        image.file.put(u64::from(block) * 512, &[0xff; 512]).put(u64::from(block + 1) * 512, &[0x5a; 4096]);
        image.end = u64::from(block + 1) * 512 + BLOCK_SIZE;
        image.seal()
    };
    let mut differencing = Dynamic::new();
    let name: Vec<u8> = bait.file.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let locator: Vec<u8> = bait.file.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u32::try_from(locator.len()).expect("a short path");
    differencing.file.be32(60, 4).put(HEADER + 40, &[0x22; 16]).put(HEADER + 64, &name);
    differencing.file.put(HEADER + 576, b"W2ku").be32(HEADER + 580, 512).be32(HEADER + 584, length);
    differencing.file.be64(HEADER + 592, 2560).put(2560, &locator);
    let mut far_locator = differencing.clone();
    far_locator.file.be64(HEADER + 592, 1 << 40);
    let mut disagree = Dynamic::new();
    disagree.file.put(28, b"vpc ").be64(48, 4 * MIB).be64(40, 4 * MIB);
    disagree.file.be16(56, 4096 / 68).put(58, &[4, 17]).be32(HEADER + 28, 2);
    let mut bad_sum = Dynamic::new().seal();
    let end = Dynamic::new().end;
    bad_sum.be32(FOOTER_CHECKSUM, 1).be32(end + FOOTER_CHECKSUM, 1);
    let mut long = fixed(MIB);
    long.put(MIB, &footer(1 << 40, 2, u64::MAX));
    let reference = Expected::Refused(&["denied.external-reference"]);
    let mut cases = vec![
        case("h01", "512 MiB of one block", entries(256), ALIASED).qemu("fills the disk"),
        case("h01b", "2040 GiB of one block", entries(1_044_480), ALIASED).qemu("fills the disk"),
        spoilt("h02", "a table of 2 GiB", LIMIT, &|file| {
            file.be32(HEADER + 28, 0x1fff_ffff);
        })
        .qemu("allocates 2 GiB, then refuses"),
        spoilt("h03", "blocks of 0 bytes", CORRUPT, &|file| {
            file.be32(HEADER + 32, 0);
        })
        .qemu("refused"),
        case("h04", "a parent elsewhere on the host", differencing.seal(), reference)
            .qemu("exit 0, parent ignored"),
        case(
            "h04-locator",
            "a parent locator behind the end of the file",
            far_locator.seal(),
            Expected::Refused(&["corrupt.", "denied."]),
        ),
        spoilt("h05", "a block that is the header", ALIASED, &|file| {
            file.be32(TABLE, 0);
        })
        .qemu("fills the disk"),
        spoilt("h06", "a block right below the mark of none", CORRUPT, &|file| {
            file.be32(TABLE, 0xffff_fffe);
        })
        .qemu("refused"),
        case(
            "h07",
            "geometry and size disagree, and the creator makes both count",
            disagree.seal(),
            Expected::Either,
        )
        .qemu("silently the smaller"),
        case(
            "h08",
            "both checksums wrong",
            bad_sum,
            Expected::Refused(&["corrupt.checksum", "denied.ambiguous-content"]),
        )
        .qemu("refused"),
        case("h09", "fixed, and says 1 TiB in 1 MiB", long, Expected::Refused(&["corrupt."]))
            .qemu("exit 0, zeroes"),
        case("vhd-good", "a dynamic image", Dynamic::new().seal(), Expected::ReadSafely),
        case("vhd-fixed-good", "a fixed image", fixed(MIB), Expected::ReadSafely),
        spoilt("vhd-table-in-header", "a table that is the header", CORRUPT, &|file| {
            file.be64(HEADER + 16, HEADER);
        }),
        spoilt("vhd-table-far", "a table behind the end of the file", CORRUPT, &|file| {
            file.be64(HEADER + 16, 1 << 45);
        }),
        spoilt("vhd-block-in-table", "a block that is the table", ALIASED, &|file| {
            file.be32(TABLE, 3);
        }),
        spoilt("vhd-block-twice", "one block twice", ALIASED, &|file| {
            file.be32(TABLE + 4, BLOCK);
        }),
        spoilt("vhd-blocks-overlap", "two blocks that share all but a sector", CORRUPT, &|file| {
            file.be32(TABLE + 4, BLOCK + 1);
        }),
        spoilt("vhd-table-short", "fewer entries than the disk has blocks", CORRUPT, &|file| {
            file.be32(HEADER + 28, 3);
        }),
        spoilt("vhd-block-odd", "blocks of 3 sectors", CORRUPT, &|file| {
            file.be32(HEADER + 32, 1536);
        }),
        spoilt(
            "vhd-block-huge",
            "blocks of 2 GiB",
            Expected::Refused(&["corrupt.", "limit.", "unsupported."]),
            &|file| {
                file.be32(HEADER + 32, 1 << 31);
            },
        ),
        spoilt("vhd-size-huge", "a disk of 2^63 bytes", LIMIT, &|file| {
            file.be64(48, 1 << 63);
        }),
        case("vhd-no-end", "without the footer at the end", Dynamic::new().file.clone(), Expected::Either),
    ];
    let image = Dynamic::new().seal();
    let sealed = |file: &mut Bytes| {
        seal(file);
        let copy = file.get(0, 512);
        file.put(end, &copy);
    };
    // The fields of the checksums themselves stay spoilt.
    let (sums, others): (Vec<_>, Vec<_>) =
        FOOTER_FIELDS.into_iter().chain(HEADER_FIELDS).partition(|(name, ..)| *name == "checksum");
    let part = |field: &fields::Field| if field.1 < HEADER { "footer" } else { "header" };
    for field in others {
        cases.extend(fields::variants("vhd", part(&field), Order::Big, &image, &[field], sealed));
    }
    for field in sums {
        cases.extend(fields::variants("vhd", part(&field), Order::Big, &image, &[field], |_| {}));
    }
    cases.extend(fields::truncations(
        "vhd",
        &image,
        &[512, 600, 1536, 2048, 4096, 70_000, MIB],
        &["corrupt.", "denied.ambiguous-content"],
    ));
    cases
}
