//! qcow2: images built byte by byte, so that each can be wrong in one place.

use crate::{
    Bait, Bytes, Case, Expected,
    fields::{self, Order},
    streams::{deflate_run, zstd_run, zstd_skippable, zstd_window},
};

/// Bytes of a cluster of these images.
pub const CLUSTER: u64 = 65536;
/// Where the refcount table is.
pub const REFCOUNT_TABLE: u64 = CLUSTER;
/// Where the one refcount block is.
pub const REFCOUNT_BLOCK: u64 = 2 * CLUSTER;
/// Where the L1 table is.
pub const L1: u64 = 3 * CLUSTER;
/// Where the one L2 table is.
pub const L2: u64 = 4 * CLUSTER;
/// Where the two data clusters are.
pub const DATA: u64 = 5 * CLUSTER;
/// Bit of an entry whose cluster has one reference.
pub const COPIED: u64 = 1 << 63;
/// Bit of an entry of an encoded cluster.
pub const COMPRESSED: u64 = 1 << 62;
/// Where the width of sector counts begins in a compressed entry of these images.
pub const SECTORS: u32 = 54;

/// A valid version 3 image of 1 GiB with two data clusters, to be spoilt.
#[derive(Clone)]
pub struct Forge {
    /// The file.
    pub bytes: Vec<u8>,
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Forge> for Bytes {
    fn from(forge: Forge) -> Self {
        Self::from(forge.bytes.as_slice())
    }
}

impl Forge {
    /// The valid image.
    pub fn new() -> Self {
        let mut forge = Self { bytes: vec![0; length(7 * CLUSTER)] };
        forge.u32(0, 0x5146_49fb).u32(4, 3).u32(20, 16).u64(24, 1 << 30);
        forge.u32(36, 2).u64(40, L1).u64(48, REFCOUNT_TABLE).u32(56, 1);
        forge.u32(96, 4).u32(100, 112);
        forge.u64(REFCOUNT_TABLE, REFCOUNT_BLOCK);
        for cluster in 0..7 {
            forge.u16(REFCOUNT_BLOCK + 2 * cluster, 1);
        }
        forge.u64(L1, L2 | COPIED).u64(L2, DATA | COPIED).u64(L2 + 80, (DATA + CLUSTER) | COPIED);
        let data = length(DATA);
        forge.bytes[data..].fill(0x5a);
        forge
    }

    /// Bytes at an offset; the file grows to hold them.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = length(at);
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self
    }

    /// A big-endian number.
    pub fn u16(&mut self, at: u64, value: u16) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// A big-endian number.
    pub fn u32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// A big-endian number.
    pub fn u64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// An extension at the start of the extension area.
    pub fn extension(&mut self, kind: u32, data: &[u8]) -> &mut Self {
        self.u32(112, kind).u32(116, short(data.len())).put(120, data)
    }

    /// A name of a parent.
    pub fn backing(&mut self, name: &str) -> &mut Self {
        self.u64(8, 512).u32(16, short(name.len())).put(512, name.as_bytes())
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("files of tests are small")
}

fn short(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("files of tests are small")
}

const ALIASED: Expected = Expected::Refused(&["corrupt.aliased"]);
const TRUNCATED: Expected = Expected::Refused(&["corrupt.truncated"]);
const TABLE: Expected = Expected::Refused(&["corrupt.table"]);
const HEADER: Expected = Expected::Refused(&["corrupt.header"]);
const ENCODED: Expected = Expected::Refused(&["corrupt.encoded"]);
const FEATURE: Expected = Expected::Refused(&["unsupported.feature"]);
const LIMIT: Expected = Expected::Refused(&["limit."]);
const LIMIT_OR_TABLE: Expected = Expected::Refused(&["limit.", "corrupt.table", "corrupt.truncated"]);
const SIZE: Expected = Expected::Refused(&["limit.virtual-size"]);
const REFERENCE: Expected = Expected::Refused(&["denied.external-reference"]);
const READ: Expected = Expected::ReadSafely;

/// The valid image, spoilt.
fn spoilt(id: &str, what: &str, expected: Expected, spoil: impl FnOnce(&mut Forge)) -> Case {
    let mut forge = Forge::new();
    spoil(&mut forge);
    Case::new(id, what, "qcow2", forge.into(), expected)
}

/// An image whose first clusters are these streams, stored at these distances from the first data
/// cluster; `kind` is the compression type of the header.
pub fn compressed(streams: &[(u64, Vec<u8>)], kind: u8) -> Bytes {
    let mut forge = Forge::new();
    forge.u64(L2, 0).u64(L2 + 80, 0);
    if kind != 0 {
        forge.u64(72, 1 << 3).put(104, &[kind]);
    }
    for (number, (at, stream)) in (0..).zip(streams) {
        let start = DATA + at;
        let sectors = (start % 512 + u64::from(short(stream.len())) - 1) / 512;
        forge.u64(L2 + number * 8, COMPRESSED | start | sectors << SECTORS);
        forge.put(start, stream);
    }
    let end = forge.bytes.len().next_multiple_of(512);
    forge.bytes.resize(end, 0);
    forge.into()
}

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    [
        references(bait),
        aliases(),
        tables(),
        header(),
        encoded(),
        vec![expansion()],
        subclusters(),
        systematic(),
    ]
    .concat()
}

fn references(bait: &Bait) -> Vec<Case> {
    let json = format!(r#"json:{{"driver":"raw","file":{{"driver":"file","filename":"{}"}}}}"#, bait.file);
    let backing = |id: &str, what: &str, name: &str| {
        spoilt(id, what, REFERENCE, |forge| {
            forge.backing(name);
        })
    };
    let mut data_file = spoilt("q02", "an external data file", REFERENCE, |forge| {
        forge.u64(72, 1 << 2).u64(88, 2).extension(0x4441_5441, bait.file.as_bytes());
    });
    data_file.qemu = "opens it: leak";
    let mut chain = Vec::new();
    for number in 0..300 {
        let mut forge = Forge::new();
        forge.bytes.truncate(length(L1) + 16);
        forge.u64(24, 1 << 20).u32(36, 1).u64(L1, 0).u64(L1 + 8, 0).u64(REFCOUNT_TABLE, 0);
        forge.u64(L1 + 504, 0);
        if number < 299 {
            forge.backing(&format!("chain-{}.qcow2", number + 1));
        }
        chain.push((format!("chain-{number}.qcow2"), crate::Content::File(forge.into())));
    }
    let deep = Case {
        files: chain,
        ..backing("chain", "300 images deep, all of them there", "chain-1.qcow2").qemu("reads it")
    };
    let mut other = backing("q06", "a and b are each other's backing file", "q06-b.qcow2").qemu("hangs");
    let mut back = Forge::new();
    back.backing("q06.qcow2");
    other.files.push(("q06-b.qcow2".to_owned(), crate::Content::File(back.into())));
    vec![
        backing("q01", "a backing file by its path", &bait.file).qemu("opens it: leak"),
        data_file,
        backing("q03", "a backing file as a json: description", &json).qemu("opens it: leak"),
        backing("q04", "a backing file on a server", &format!("nbd://127.0.0.1:{}/x", bait.port))
            .qemu("connects"),
        backing("q05", "its own backing file", "q05.qcow2").qemu("hangs"),
        other,
        deep,
        backing("q-ref-device", "a backing file that is a device", "/dev/vda"),
        backing("q-ref-fd", "a backing file that is a descriptor of the reader", "/proc/self/fd/0"),
        backing("q-ref-http", "a backing file on a web server", &format!("http://127.0.0.1:{}/x", bait.port)),
        backing("q-ref-escape", "a backing file that moves the cursor", "\u{1b}[2J\r\n/x"),
        spoilt("q-ref-data-json", "an external data file as a json: description", REFERENCE, |forge| {
            forge.u64(72, 1 << 2).extension(0x4441_5441, json.as_bytes());
        })
        .qemu("opens it (CVE-2024-4467)"),
        spoilt("q-ref-data-silent", "the name of a data file without the feature", REFERENCE, |forge| {
            forge.extension(0x4441_5441, bait.file.as_bytes());
        }),
    ]
}

fn aliases() -> Vec<Case> {
    let mut bomb = Forge::new();
    bomb.bytes.truncate(length(CLUSTER));
    bomb.u64(24, 16 << 40).u32(36, 32768).u64(40, CLUSTER).u64(48, 7 * CLUSTER);
    for index in 0..32768 {
        bomb.u64(CLUSTER + index * 8, 6 * CLUSTER);
    }
    bomb.put(6 * CLUSTER, &(8 * CLUSTER).to_be_bytes().repeat(8192)).put(9 * CLUSTER - 1, &[0]);
    let stream = deflate_run(0x41, 65536);
    let mut one_for_all = Bytes::new();
    one_for_all.put(0, &compressed(&[(0, stream.clone())], 0).to_vec());
    let entry = COMPRESSED | DATA | 1 << SECTORS;
    one_for_all.put(L2, &entry.to_be_bytes().repeat(8192));
    let alias = |id: &str, what: &str, spoil: fn(&mut Forge)| spoilt(id, what, ALIASED, spoil);
    let mut cases = vec![
        Case::new("q07", "16 TiB of one cluster, in 590 KB", "qcow2", bomb.into(), ALIASED)
            .qemu("never ends"),
        Case::new("q08", "one encoded cluster 8192 times", "qcow2", one_for_all, ALIASED)
            .qemu("fills the disk"),
        alias("q11", "an L2 table that is the L1 table", |forge| {
            forge.u64(L1, L1 | COPIED);
        })
        .qemu("exit 0"),
        alias("q12", "a data cluster that is the refcount table", |forge| {
            forge.u64(L2, REFCOUNT_TABLE | COPIED);
        })
        .qemu("copies tables as data"),
        alias("q-alias-l2", "one L2 table for both halves of the disk", |forge| {
            forge.u64(L1 + 8, L2 | COPIED);
        }),
        alias("q-alias-data", "one data cluster twice", |forge| {
            forge.u64(L2 + 80, DATA | COPIED);
        }),
        alias("q-alias-header", "an encoded cluster that is the header", |forge| {
            forge.u64(L2, COMPRESSED);
        }),
        alias("q-alias-refcounts", "a refcount block that is the L2 table", |forge| {
            forge.u64(REFCOUNT_TABLE, L2);
        }),
        alias("q-alias-l1", "an L1 table that is the refcount table", |forge| {
            forge.u64(40, REFCOUNT_TABLE);
        }),
        alias("q-alias-encoded", "two encoded clusters that share more than a sector", |forge| {
            forge
                .u64(L2, COMPRESSED | DATA | 3 << SECTORS)
                .u64(L2 + 8, COMPRESSED | (DATA + 600) | 3 << SECTORS);
        }),
    ];
    for (word, table) in [("l1", L1), ("l2", L2), ("block", REFCOUNT_BLOCK)] {
        cases.push(spoilt(
            &format!("q-data-in-{word}"),
            "a data cluster that is a table",
            ALIASED,
            |forge| {
                forge.u64(L2, table | COPIED);
            },
        ));
    }
    cases
}

fn tables() -> Vec<Case> {
    let truncated = |id: &str, what: &str, spoil: fn(&mut Forge)| spoilt(id, what, TRUNCATED, spoil);
    let table = |id: &str, what: &str, spoil: fn(&mut Forge)| spoilt(id, what, TABLE, spoil);
    let mut cases = vec![
        truncated("q09", "a cluster behind the end of the file", |forge| {
            forge.u64(L2, 1 << 45 | COPIED);
        })
        .qemu("exit 0, zeroes"),
        truncated("q09-l1", "an L2 table behind the end of the file", |forge| {
            forge.u64(L1, 1 << 45 | COPIED);
        }),
        truncated("q09-next", "a cluster right behind the end of the file", |forge| {
            forge.u64(L2, (7 * CLUSTER) | COPIED);
        }),
        truncated("q09-refcount", "a refcount block behind the end of the file", |forge| {
            forge.u64(REFCOUNT_TABLE, 1 << 45);
        }),
        table("q10", "an L2 table between two clusters", |forge| {
            forge.u64(L1, (L2 + 512) | COPIED);
        })
        .qemu("input/output error"),
        table("q10-data", "a data cluster between two clusters", |forge| {
            forge.u64(L2, (DATA + 512) | COPIED);
        }),
        table("q15", "an L1 table at the largest offset", |forge| {
            forge.u64(40, 0xffff_ffff_ffff_f000);
        })
        .qemu("refused"),
        table("q15-refcounts", "a refcount table at the largest offset", |forge| {
            forge.u64(48, 0xffff_ffff_ffff_0000);
        }),
        spoilt("q14", "an L1 table of 16 GiB", LIMIT_OR_TABLE, |forge| {
            forge.u32(36, 0x7fff_ffff);
        })
        .qemu("refused"),
        spoilt("q26", "a refcount table of 2^31 clusters", LIMIT_OR_TABLE, |forge| {
            forge.u32(56, 0x7fff_ffff);
        })
        .qemu("refused"),
        spoilt(
            "q14-file",
            "an L1 table within the limit and larger than the file",
            LIMIT_OR_TABLE,
            |forge| {
                forge.u32(36, 4 << 20);
            },
        ),
        table("q19", "65536 snapshots at 1 TiB", |forge| {
            forge.u32(60, 65536).u64(64, 1 << 40);
        })
        .qemu("`info` takes 5.7 s"),
        spoilt("q19-count", "more snapshots than there may be", LIMIT, |forge| {
            forge.u32(60, 65537);
        }),
        long_snapshots(),
        table("q19-garbage", "a snapshot table that is data", |forge| {
            forge.u32(60, 1).u64(64, DATA);
        }),
    ];
    for bit in [0, 1, 8, 56, 62] {
        cases.push(spoilt(&format!("q-l1-bit-{bit}"), "a reserved bit of an L1 entry", TABLE, |forge| {
            forge.u64(L1, L2 | COPIED | 1 << bit);
        }));
    }
    for bit in [1, 8, 56, 61] {
        cases.push(spoilt(&format!("q-l2-bit-{bit}"), "a reserved bit of an L2 entry", TABLE, |forge| {
            forge.u64(L2, DATA | COPIED | 1 << bit);
        }));
    }
    let bitmaps: [(&str, u32, u64, u64, Expected); 6] = [
        ("far", 1, 64, 1 << 40, TABLE),
        ("in-l1", 1, 64, L1, ALIASED),
        ("none", 0, 64, DATA, HEADER),
        ("many", 65536, 64, DATA, HEADER),
        ("huge", 1, 1 << 40, DATA, LIMIT_OR_TABLE),
        ("in-data", 1, 64, DATA, ALIASED),
    ];
    for (word, count, size, offset, expected) in bitmaps {
        let data = [&count.to_be_bytes()[..], &[0; 4], &size.to_be_bytes(), &offset.to_be_bytes()].concat();
        let what = format!("a directory of {count} bitmaps, {size} bytes at {offset:#x}");
        cases.push(spoilt(&format!("q-bitmaps-{word}"), &what, expected, |forge| {
            forge.u64(88, 1).extension(0x2385_2875, &data);
        }));
    }
    cases
}

/// 64 snapshots whose L1 tables are one range of 32 MiB of zeroes: a check walks 2 GiB of them,
/// some at a call.
fn long_snapshots() -> Case {
    let mut bytes = Bytes::from(Forge::new());
    let (tables, snapshots) = (8 * CLUSTER, 7 * CLUSTER);
    for number in 0..64 {
        let entry = [&tables.to_be_bytes()[..], &(4_u32 << 20).to_be_bytes(), &[0; 28]].concat();
        bytes.put(snapshots + number * 40, &entry);
    }
    bytes.put(60, &64_u32.to_be_bytes()).put(64, &snapshots.to_be_bytes()).resize(tables + (32 << 20));
    Case::new("q19-long", "64 snapshots with L1 tables of 32 MiB", "qcow2", bytes, READ)
}

fn header() -> Vec<Case> {
    let mut cases = vec![
        spoilt("q13", "an unknown incompatible feature", FEATURE, |forge| {
            forge.u64(72, 1 << 40);
        })
        .qemu("refused"),
        spoilt("q17", "a header of 4 GiB", HEADER, |forge| {
            forge.u32(100, 0xffff_fff0);
        })
        .qemu("refused"),
        spoilt("q18", "a header extension of 4 GiB", HEADER, |forge| {
            forge.extension(0x6803_f857, b"").u32(116, 0xffff_fff8);
        })
        .qemu("refused"),
        spoilt("q20", "a disk of 2^63 - 512 bytes", SIZE, |forge| {
            forge.u64(24, (1 << 63) - 512);
        })
        .qemu("refused"),
        spoilt(
            "q21",
            "LUKS without a LUKS header",
            Expected::Refused(&["corrupt.header", "unsupported.encrypted"]),
            |forge| {
                forge.u32(32, 2);
            },
        )
        .qemu("refused"),
        spoilt(
            "q21-aes",
            "encrypted with the old method",
            Expected::Refused(&["unsupported.encrypted"]),
            |forge| {
                forge.u32(32, 1);
            },
        ),
        spoilt("q22", "a compression type without its feature", HEADER, |forge| {
            forge.put(104, &[1]);
        })
        .qemu("refused"),
        spoilt("q22-unknown", "an unknown compression type", FEATURE, |forge| {
            forge.u64(72, 8).put(104, &[2]);
        }),
        spoilt("q23", "version 1", Expected::Refused(&["unsupported.version"]), |forge| {
            forge.u32(4, 1);
        })
        .qemu("refused"),
        spoilt("q23-4", "version 4", Expected::Refused(&["unsupported.version"]), |forge| {
            forge.u32(4, 4);
        }),
        spoilt("q24", "says that it is damaged", Expected::Refused(&["denied."]), |forge| {
            forge.u64(72, 2).u64(L2 + 80, DATA | COPIED);
        })
        .qemu("reads it"),
        spoilt("q-name-long", "a backing name of 1024 bytes", HEADER, |forge| {
            forge.u64(8, 512).u32(16, 1024);
        }),
        spoilt("q-name-far", "a backing name behind the first cluster", HEADER, |forge| {
            forge.u64(8, 65530).u32(16, 10);
        }),
        spoilt("q-dirty", "not closed properly", READ, |forge| {
            forge.u64(72, 1);
        }),
        spoilt("q-unknown-extension", "an unknown extension", READ, |forge| {
            forge.extension(0x1234_5678, b"who knows");
        }),
    ];
    for bits in [0, 8, 22, 31, 63, u32::MAX] {
        let what = format!("clusters of 2^{bits} bytes");
        cases.push(spoilt(&format!("q16-{bits}"), &what, HEADER, |forge| {
            forge.u32(20, bits);
        }));
    }
    for length in [0, 72, 103, 105, 108, 65544] {
        let what = format!("a header of {length} bytes");
        cases.push(spoilt(&format!("q17-{length}"), &what, HEADER, |forge| {
            forge.u32(100, length);
        }));
    }
    for bit in [5, 6, 31, 63] {
        cases.push(spoilt(&format!("q13-{bit}"), "an unknown incompatible feature", FEATURE, |forge| {
            forge.u64(72, 1 << bit);
        }));
    }
    cases.push(spoilt("q-refcount-order", "refcounts of 128 bits", HEADER, |forge| {
        forge.u32(96, 7);
    }));
    cases
}

fn encoded() -> Vec<Case> {
    let case = |id: &str, what: &str, kind: u8, streams: &[(u64, Vec<u8>)], expected| {
        Case::new(id, what, "qcow2", compressed(streams, kind), expected)
    };
    let good = || deflate_run(0x5a, 65536);
    let end = 7 * CLUSTER;
    let zstd = |length, claimed| zstd_run(0x5a, length, claimed);
    let many: Vec<(u64, Vec<u8>)> = (0..2048).map(|number| (number * 13, zstd(65536, 65536))).collect();
    vec![
        spoilt("q25", "an encoded cluster at the end of the file", TRUNCATED, |forge| {
            forge.u64(L2, COMPRESSED | end);
        })
        .qemu("input/output error"),
        spoilt("q25-last", "an encoded cluster of one sector too many", TRUNCATED, |forge| {
            forge.u64(L2, COMPRESSED | (end - 512) | 1 << SECTORS);
        }),
        case("q27", "a zstd frame with a window of 2 GiB", 1, &[(0, zstd_window(21))], ENCODED)
            .qemu("refused"),
        case("q-deflate-good", "an encoded cluster", 0, &[(0, good())], READ),
        case(
            "q-deflate-long",
            "a deflate stream longer than its cluster",
            0,
            &[(0, deflate_run(0x5a, 200_000))],
            ENCODED,
        ),
        case(
            "q-deflate-short",
            "a deflate stream shorter than its cluster",
            0,
            &[(0, deflate_run(0x5a, 1000))],
            ENCODED,
        ),
        case("q-deflate-noise", "bytes that are no deflate stream", 0, &[(0, vec![0xff; 300])], ENCODED),
        case("q-zstd-good", "a zstd cluster", 1, &[(0, zstd(65536, 65536))], READ),
        case(
            "q-zstd-long",
            "a zstd frame longer than its cluster",
            1,
            &[(0, zstd(1 << 27, 1 << 27))],
            ENCODED,
        ),
        case(
            "q-zstd-two",
            "a zstd frame with another behind it",
            1,
            &[(0, [zstd(32768, 32768), zstd(32768, 32768)].concat())],
            ENCODED,
        ),
        case(
            "q-zstd-skippable",
            "a skippable zstd frame before the real one",
            1,
            &[(0, [zstd_skippable(64), zstd(65536, 65536)].concat())],
            ENCODED,
        ),
        case(
            "q-zstd-lie",
            "a zstd frame with a wrong size in its header",
            1,
            &[(0, zstd(65536, 4096))],
            ENCODED,
        ),
        case("q-zstd-lie-large", "a zstd frame that claims 4 GiB", 1, &[(0, zstd(65536, u32::MAX))], ENCODED),
        case(
            "q-zstd-dictionary",
            "a zstd frame that wants a dictionary",
            1,
            &[(0, {
                let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa3];
                frame.extend([7, 0, 0, 0]);
                frame.extend(&zstd(65536, 65536)[5..]);
                frame
            })],
            ENCODED,
        ),
        case("q-zstd-deflate", "a deflate stream that is said to be zstd", 1, &[(0, good())], ENCODED),
        case("q-rle", "128 MiB of run lengths in 27 KB", 1, &many, READ),
    ]
}

/// 2 GiB of run lengths in 430 KB: four L2 tables of encoded clusters.
fn expansion() -> Case {
    let frame = zstd_run(0x5a, 65536, 65536);
    let streams = 12 * CLUSTER;
    let mut image: Bytes = Forge::new().into();
    image.be64(24, 2 << 30).be32(36, 4).be64(72, 1 << 3).put(104, &[1]).resize(L1);
    for table in 0..4 {
        let at = (8 + table) * CLUSTER;
        image.be64(L1 + table * 8, at | COPIED);
        for entry in 0..8192 {
            let start = streams + (table * 8192 + entry) * 13;
            let sectors = (start % 512 + 12) / 512;
            image.be64(at + entry * 8, COMPRESSED | start | sectors << SECTORS).put(start, &frame);
        }
    }
    image.resize(image.size().next_multiple_of(512));
    let limit = Expected::Refused(&["limit.expansion"]);
    Case::new("q-rle-cap", "2 GiB of run lengths in 430 KB", "qcow2", image, limit)
}

fn subclusters() -> Vec<Case> {
    let all = u64::from(u32::MAX);
    let case = |id: &str, what: &str, entry: u64, bitmap: u64, expected| {
        spoilt(id, what, expected, |forge| {
            forge.u64(72, 1 << 4).u32(36, 4).u64(L2 + 80, 0).u64(L2, entry).u64(L2 + 8, bitmap);
        })
    };
    vec![
        case("q-sub-good", "subclusters", DATA | COPIED, 0x0000_000f_ffff_fff0, READ),
        case("q-sub-both", "a subcluster that is stored and zero", DATA | COPIED, 1 << 32 | 1, TABLE),
        case("q-sub-all-both", "all subclusters stored and zero", DATA | COPIED, u64::MAX, TABLE),
        case("q-sub-bit-0", "the zero flag of clusters, with subclusters", DATA | COPIED | 1, all, TABLE),
        case("q-sub-nowhere", "a stored subcluster without a cluster", 0, 1, TABLE),
        case("q-sub-encoded", "an encoded cluster with subclusters", COMPRESSED | DATA, 1, TABLE),
        case("q-sub-far", "a subcluster behind the end of the file", 7 * CLUSTER, 1, TRUNCATED),
        spoilt("q-sub-small", "subclusters of 256 bytes", HEADER, |forge| {
            forge.u64(72, 1 << 4).u32(20, 13);
        }),
    ]
}

const FIELDS: [fields::Field; 18] = [
    ("version", 4, 4),
    ("backing-offset", 8, 8),
    ("backing-length", 16, 4),
    ("cluster-bits", 20, 4),
    ("size", 24, 8),
    ("crypt", 32, 4),
    ("l1-size", 36, 4),
    ("l1-offset", 40, 8),
    ("refcounts-offset", 48, 8),
    ("refcounts-clusters", 56, 4),
    ("snapshots", 60, 4),
    ("snapshots-offset", 64, 8),
    ("incompatible", 72, 8),
    ("compatible", 80, 8),
    ("autoclear", 88, 8),
    ("refcount-order", 96, 4),
    ("header-length", 100, 4),
    ("compression", 104, 2),
];

fn systematic() -> Vec<Case> {
    let image: Bytes = Forge::new().into();
    let mut cases = fields::variants("qcow2", "header", Order::Big, &image, &FIELDS, |_| {});
    let lengths =
        [4, 8, 71, 72, 103, 112, 512, 65536, 70_000, 4 * CLUSTER, DATA, DATA + 1, DATA + 2 * CLUSTER - 1];
    cases.extend(fields::truncations("qcow2", &image, &lengths, &["corrupt.", "denied.ambiguous-content"]));
    for case in &mut cases {
        if case.id == "qcow2-cut-327681" {
            // The cut of the design's list.
            case.id = "tr".to_owned();
            case.qemu = "exit 0, wrong data";
        }
    }
    cases
}
