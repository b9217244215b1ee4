//! VMDK: descriptors, sparse extents and streams (VMware, "Virtual Disk Format 5.0").

use crate::{
    Bait, Bytes, Case, Content, Expected,
    fields::{self, Order},
    streams::{deflate_run, zlib_run},
};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Sectors of a disk of 8 MiB.
const CAPACITY: u64 = 16384;
const GRAIN: u64 = 128;
const DIRECTORY: u64 = 21;
const TABLE: u64 = 22;
/// Where grains begin, in sectors.
const DATA: u64 = 128;

pub(crate) fn descriptor(kind: &str, lines: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n# Extent description\n{lines}\n\n\
         # The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\nddb.virtualHWVersion = \"4\"\n"
    )
}

fn header(version: u32, flags: u32, directory: u64) -> Bytes {
    let mut header = Bytes::new();
    header.put(0, b"KDMV").le32(4, version).le32(8, flags).le64(12, CAPACITY).le64(20, GRAIN).le64(28, 1);
    header.le64(36, 20).le32(44, 512).le64(48, 0).le64(56, directory).le64(64, DATA).put(73, b"\n \r\n");
    header.resize(SECTOR);
    header
}

/// A monolithic sparse image of 8 MiB whose first grain is there.
pub fn sparse() -> Bytes {
    let mut image = header(1, 1, DIRECTORY);
    image.put(SECTOR, descriptor("monolithicSparse", "RW 16384 SPARSE \"disk.vmdk\"").as_bytes());
    image.le32(DIRECTORY * SECTOR, 22).le32(TABLE * SECTOR, 128);
    image.put(DATA * SECTOR, &[0x5a; 8192]).resize((DATA + GRAIN) * SECTOR);
    image
}

/// A stream-optimized image in the making.
#[derive(Clone)]
pub struct Stream {
    /// Sector on the disk and compressed bytes of each grain.
    pub grains: Vec<(u64, Vec<u8>)>,
    /// Changes the grain table before it is written.
    pub table: fn(&mut [u32]),
    /// Changes the header at the begin.
    pub header: fn(&mut Bytes),
    /// Changes the footer.
    pub footer: fn(&mut Bytes),
    /// Changes what is between: the file up to the end of the grains.
    pub grain_area: fn(&mut Bytes),
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    /// Two grains, valid.
    pub fn new() -> Self {
        let grains = vec![(0, zlib_run(0x5a, 65536)), (GRAIN, zlib_run(0x41, 65536))];
        Self { grains, table: |_| {}, header: |_| {}, footer: |_| {}, grain_area: |_| {} }
    }

    fn with(grains: Vec<(u64, Vec<u8>)>) -> Self {
        Self { grains, ..Self::new() }
    }

    /// The whole file.
    pub fn finish(&self) -> Bytes {
        let mut image = header(3, 0x3_0001, u64::MAX);
        image.le16(77, 1);
        (self.header)(&mut image);
        image.put(SECTOR, descriptor("streamOptimized", "RW 16384 SPARSE \"disk.vmdk\"").as_bytes());
        image.resize(DATA * SECTOR);
        let mut table = vec![0_u32; 512];
        for (lba, stream) in &self.grains {
            let at = u32::try_from(image.size() / SECTOR).expect("a small file");
            if let Some(entry) = usize::try_from(lba / GRAIN).ok().and_then(|index| table.get_mut(index)) {
                *entry = at;
            }
            let length = u32::try_from(stream.len()).expect("a short stream");
            let start = image.size();
            image.le64(start, *lba).le32(start + 8, length).put(start + 12, stream);
            image.resize(image.size().next_multiple_of(SECTOR));
        }
        (self.grain_area)(&mut image);
        (self.table)(&mut table);
        marker(&mut image, 4, 1);
        let at = image.size() / SECTOR;
        image.push(&table.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<_>>());
        marker(&mut image, 1, 2);
        let directory = image.size() / SECTOR;
        let mut entry = vec![0; 512];
        entry[..4].copy_from_slice(&u32::try_from(at).expect("a small file").to_le_bytes());
        image.push(&entry);
        marker(&mut image, 1, 3);
        let mut footer = header(3, 0x3_0001, directory);
        footer.le16(77, 1);
        (self.footer)(&mut footer);
        image.push(&footer.to_vec());
        marker(&mut image, 0, 0);
        image
    }
}

/// A metadata marker: sectors that follow, size 0, type.
fn marker(image: &mut Bytes, sectors: u64, kind: u32) {
    let at = image.size();
    image.le64(at, sectors).le32(at + 8, 0).le32(at + 12, kind).resize(at + SECTOR);
}

const FIELDS: [fields::Field; 11] = [
    ("version", 4, 4),
    ("flags", 8, 4),
    ("capacity", 12, 8),
    ("grain", 20, 8),
    ("descriptor-offset", 28, 8),
    ("descriptor-size", 36, 8),
    ("entries", 44, 4),
    ("redundant", 48, 8),
    ("directory", 56, 8),
    ("overhead", 64, 8),
    ("compression", 77, 2),
];

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    let mut cases = [texts(bait), extents(bait), streams()].concat();
    cases.extend(fields::variants("vmdk", "sparse", Order::Little, &sparse(), &FIELDS, |_| {}));
    cases.extend(fields::variants("vmdk", "stream", Order::Little, &Stream::new().finish(), &FIELDS, |_| {}));
    let lengths =
        [4, 79, 512, 600, DIRECTORY * SECTOR, TABLE * SECTOR + 8, DATA * SECTOR, (DATA + GRAIN) * SECTOR - 1];
    let codes: &[&str] = &["corrupt.", "denied.ambiguous-content"];
    cases.extend(fields::truncations("vmdk", &sparse(), &lengths, codes));
    let stream = Stream::new().finish();
    for length in [DATA * SECTOR + 6, DATA * SECTOR + 600, stream.size() - 1024, stream.size() - 513] {
        let mut cut = stream.clone();
        cut.resize(length);
        let what = format!("a stream cut off after {length} bytes");
        // Without the footer there is no directory.
        cases.push(Case::new(
            &format!("vmdk-stream-cut-{length}"),
            &what,
            "vmdk",
            cut,
            Expected::Refused(codes),
        ));
    }
    cases
}

fn texts(bait: &Bait) -> Vec<Case> {
    const REFERENCE: Expected = Expected::Refused(&["denied.external-reference"]);
    let text = |id: &str, what: &str, kind: &str, lines: &str, expected| {
        let text = descriptor(kind, lines);
        Case::new(id, what, "vmdk", text.as_bytes().into(), expected)
    };
    let flat = |path: &str| format!("RW 16384 FLAT \"{path}\" 0");
    let mut endless = Bytes::new();
    endless.put(0, descriptor("monolithicFlat", "").as_bytes()).push(&vec![b'#'; 1 << 20]);
    let mut parent = Bytes::new();
    let hint = format!("parentFileNameHint=\"{}\"", bait.file);
    let child = descriptor("monolithicSparse", "RW 16384 SPARSE \"disk.vmdk\"")
        .replace("parentCID=ffffffff", &format!("parentCID=fffffffe\n{hint}"));
    parent.put(0, &sparse().to_vec()).put(SECTOR, &[0; 10_240]).put(SECTOR, child.as_bytes());
    let mut disagree = sparse();
    disagree
        .put(SECTOR, &[0; 10_240])
        .put(SECTOR, descriptor("monolithicFlat", &flat(&bait.file)).as_bytes());
    let refused = Expected::Refused(&["corrupt.", "unsupported.", "denied.", "limit."]);
    let many: Vec<String> = (0..5000).map(|number| format!("RW 16384 FLAT \"x-{number}\" 0")).collect();
    let mut link = text(
        "v-flat-link",
        "an extent that is a link to a file of the host",
        "monolithicFlat",
        &flat("v-flat-link.bin"),
        REFERENCE,
    );
    link.files.push(("v-flat-link.bin".to_owned(), Content::Link(bait.file.clone())));
    vec![
        text("v01", "a flat extent elsewhere on the host", "monolithicFlat", &flat(&bait.file), REFERENCE)
            .qemu("opens it: leak"),
        text("v02", "an extent that is a device", "fullDevice", "RW 16384 FLAT \"/dev/vda\" 0", REFERENCE)
            .qemu("opens it"),
        text(
            "v03",
            "a flat extent next to the folder",
            "monolithicFlat",
            &flat("../canary/secret.bin"),
            REFERENCE,
        )
        .qemu("opens it: leak"),
        Case::new(
            "v04",
            "a sparse extent with a descriptor that says flat",
            "vmdk",
            disagree,
            Expected::Refused(&["corrupt.header", "corrupt.", "denied."]),
        )
        .qemu("reads it as sparse"),
        Case::new("v05", "a parent elsewhere on the host", "vmdk", parent, REFERENCE).qemu("exit 0"),
        text(
            "v-sparse-away",
            "a sparse extent elsewhere",
            "twoGbMaxExtentSparse",
            "RW 16384 SPARSE \"/canary.vmdk\"",
            REFERENCE,
        ),
        text("v-vmfs", "an extent on VMFS", "vmfs", "RW 16384 VMFS \"x-flat.vmdk\"", REFERENCE),
        text("v-json", "an extent as a json: description", "monolithicFlat", &flat("json:{}"), REFERENCE),
        text("v-none", "a descriptor without extents", "monolithicFlat", "", refused),
        text(
            "v-word",
            "an extent of a kind that there is not",
            "monolithicFlat",
            "RW 16384 PIPE \"x\" 0",
            refused,
        ),
        text(
            "v-number",
            "an extent of 2^64 sectors",
            "monolithicFlat",
            "RW 18446744073709551616 FLAT \"x\" 0",
            refused,
        ),
        text(
            "v-sum",
            "extents with a sum that exceeds 64 bits",
            "monolithicFlat",
            &format!("{0}\n{0}", "RW 18446744073709551615 FLAT \"x\" 0"),
            refused,
        ),
        text("v-many", "5000 extents", "twoGbMaxExtentFlat", &many.join("\n"), refused),
        text("v-zero", "an extent of zeroes alone", "custom", "RW 16384 ZERO", Expected::Either),
        Case::new("v-endless", "a descriptor of 1 MiB without an end", "vmdk", endless, refused),
        link,
    ]
}

fn extents(_bait: &Bait) -> Vec<Case> {
    const ALIASED: Expected = Expected::Refused(&["corrupt.aliased"]);
    const CORRUPT: Expected = Expected::Refused(&["corrupt.", "limit."]);
    let spoilt = |id: &str, what: &str, expected, spoil: &dyn Fn(&mut Bytes)| {
        let mut image = sparse();
        spoil(&mut image);
        Case::new(id, what, "vmdk", image, expected)
    };
    vec![
        spoilt("v-good", "a monolithic sparse image", Expected::ReadSafely, &|_| {}),
        spoilt("v06", "grains of 0 sectors", CORRUPT, &|file| {
            file.le64(20, 0);
        })
        .qemu("refused"),
        spoilt("v07", "grains of 3 sectors", CORRUPT, &|file| {
            file.le64(20, 3);
        })
        .qemu("accepted"),
        spoilt("v08", "a disk of 2^54 sectors", CORRUPT, &|file| {
            file.le64(12, 1 << 54);
        })
        .qemu("refused"),
        spoilt("v09", "tables of 2^32 - 1 entries", CORRUPT, &|file| {
            file.le32(44, u32::MAX);
        })
        .qemu("refused"),
        spoilt("v10", "8 GiB of one grain", ALIASED, &|file| {
            // 256 tables of 512 entries, all of them the same grain.
            file.le64(12, 16 << 20).le64(64, 4096);
            let text = descriptor("monolithicSparse", "RW 16777216 SPARSE \"disk.vmdk\"");
            file.put(SECTOR, text.as_bytes());
            for table in 0..256_u32 {
                file.le32(DIRECTORY * SECTOR + u64::from(table) * 4, 24 + table * 4);
                file.put(u64::from(24 + table * 4) * SECTOR, &4096_u32.to_le_bytes().repeat(512));
            }
            file.put(4096 * SECTOR, &[0x5a; 8192]).resize((4096 + GRAIN) * SECTOR);
        })
        .qemu("fills the disk"),
        spoilt("v-twice", "one grain twice", ALIASED, &|file| {
            file.le32(TABLE * SECTOR + 4, 128);
        }),
        spoilt("v-overlap", "two grains that share all but a sector", CORRUPT, &|file| {
            file.le32(TABLE * SECTOR + 4, 129).resize((DATA + GRAIN + 1) * SECTOR);
        }),
        spoilt("v-in-table", "a grain that is the grain table", Expected::Refused(&["corrupt."]), &|file| {
            file.le32(TABLE * SECTOR, 22);
        }),
        spoilt("v-far", "a grain behind the end of the file", Expected::Refused(&["corrupt."]), &|file| {
            file.le32(TABLE * SECTOR, 0x7fff_ffff);
        }),
        spoilt(
            "v-table-far",
            "a grain table behind the end of the file",
            Expected::Refused(&["corrupt."]),
            &|file| {
                file.le32(DIRECTORY * SECTOR, 0x7fff_ffff);
            },
        ),
        spoilt(
            "v-directory-far",
            "a grain directory behind the end of the file",
            Expected::Refused(&["corrupt."]),
            &|file| {
                file.le64(56, 1 << 50);
            },
        ),
        spoilt(
            "v-newlines",
            "line ends that a text transfer has changed",
            Expected::Refused(&["corrupt."]),
            &|file| {
                file.put(73, b"\n\r\n\n");
            },
        ),
        spoilt("v-grain-huge", "grains of 2^32 - 1 sectors", CORRUPT, &|file| {
            file.le64(20, u64::from(u32::MAX));
        }),
        spoilt("v-version", "version 4", Expected::Refused(&["unsupported.", "corrupt."]), &|file| {
            file.le32(4, 4);
        }),
        spoilt("v-size", "descriptor and header disagree about the size", Expected::Either, &|file| {
            file.le64(12, CAPACITY * 2);
        }),
        spoilt("v-no-end", "an embedded descriptor of 16 EiB", CORRUPT, &|file| {
            file.le64(36, u64::MAX / 512);
        }),
        spoilt("v-cid", "1 MiB of CID lines without an end", Expected::Either, &|file| {
            file.le64(36, 2048).put(SECTOR, &b"CID=fffffffe\n".repeat(90_000)[..(1 << 20)]);
            file.le64(56, 2100).le32(2100 * SECTOR, 2101).le32(2101 * SECTOR, 2176).le64(64, 2176);
            file.put(2176 * SECTOR, &[0x5a; 512]).resize(2176 * SECTOR + 64 * 1024);
        }),
    ]
}

fn streams() -> Vec<Case> {
    const ENCODED: Expected = Expected::Refused(&["corrupt."]);
    let case = |id: &str, what: &str, stream: &Stream, expected| {
        Case::new(id, what, "vmdk", stream.finish(), expected)
    };
    let good = || zlib_run(0x5a, 65536);
    let refused = Expected::Refused(&["corrupt.", "limit.", "unsupported."]);
    let mut wrong_sum = good();
    let last = wrong_sum.len() - 1;
    wrong_sum[last] ^= 1;
    vec![
        case("s-good", "a stream", &Stream::new(), Expected::ReadSafely),
        case(
            "s-long",
            "a grain that expands to more than 64 KiB",
            &Stream::with(vec![(0, zlib_run(0, 1 << 20))]),
            ENCODED,
        ),
        case("s-short", "a grain that expands to less", &Stream::with(vec![(0, zlib_run(0, 4096))]), ENCODED),
        case("s-noise", "a grain that is no zlib stream", &Stream::with(vec![(0, vec![0xff; 200])]), ENCODED),
        case(
            "s-raw",
            "a grain without the wrapping of zlib",
            &Stream::with(vec![(0, deflate_run(0x5a, 65536))]),
            ENCODED,
        ),
        case("s-sum", "a grain with a wrong checksum", &Stream::with(vec![(0, wrong_sum)]), ENCODED),
        case(
            "s-past",
            "a grain behind the end of the disk",
            &Stream::with(vec![(0, good()), (1 << 40, good())]),
            Expected::Either,
        ),
        case(
            "s-twice",
            "one place of the disk twice",
            &Stream::with(vec![(0, good()), (0, good())]),
            Expected::Either,
        ),
        case("s-between", "a grain between two places", &Stream::with(vec![(7, good())]), Expected::Either),
        case(
            "s-alias",
            "one grain for two places",
            &Stream { table: |table| table[1] = table[0], ..Stream::new() },
            Expected::Refused(&["corrupt."]),
        ),
        case(
            "s-forward",
            "a table that points forward",
            &Stream { table: |table| table[0] = 150, ..Stream::new() },
            Expected::Refused(&["corrupt."]),
        ),
        case(
            "s-table-header",
            "a table that points into the header",
            &Stream { table: |table| table[0] = 1, ..Stream::new() },
            Expected::Refused(&["corrupt."]),
        ),
        case(
            "s-length",
            "a grain that says it has 4 GiB",
            &Stream {
                grain_area: |file| {
                    file.le32(DATA * SECTOR + 8, u32::MAX);
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-grain",
            "grains of 2^32 - 1 sectors in the footer",
            &Stream {
                footer: |footer| {
                    footer.le64(20, 0xffff_ffff);
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-footer-size",
            "a footer with another size than the header",
            &Stream {
                footer: |footer| {
                    footer.le64(12, 2 * CAPACITY);
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-footer-gd",
            "a footer that also places its directory at the end",
            &Stream {
                footer: |footer| {
                    footer.le64(56, u64::MAX);
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-footer-mark",
            "a footer that is none",
            &Stream {
                footer: |footer| {
                    footer.put(0, b"XXXX");
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-codec",
            "an unknown compression",
            &Stream {
                header: |header| {
                    header.le16(77, 9);
                },
                footer: |footer| {
                    footer.le16(77, 9);
                },
                ..Stream::new()
            },
            refused,
        ),
        case(
            "s-bomb",
            "8 MiB of run lengths",
            &Stream::with((0..128).map(|number| (number * GRAIN, zlib_run(1, 65536))).collect()),
            Expected::ReadSafely,
        ),
    ]
}

/// Bytes of the disk of these images.
pub const SIZE: u64 = 8 * MIB;
