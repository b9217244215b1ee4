//! VHDX: headers, regions, metadata, block tables and logs (Microsoft, [MS-VHDX]).

use crate::{
    Bait, Bytes, Case, Expected,
    fields::{self, Order},
    streams::crc32c,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const REGIONS: [u64; 2] = [192 * KIB, 256 * KIB];
const LOG: u64 = MIB;
const METADATA: u64 = 2 * MIB;
const TABLE: u64 = 3 * MIB;
const DATA: u64 = 4 * MIB;
/// Where the values of metadata items begin in their region.
const ITEMS: u64 = 64 * KIB;
const LOG_ID: [u8; 16] = [0x77; 16];

/// A GUID as it is stored: the first three groups little endian.
fn guid(text: &str) -> [u8; 16] {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

const TABLE_ID: &str = "2DC27766-F623-4200-9D64-115E9BFD4A08";
const METADATA_ID: &str = "8B7CA206-4790-4B9A-B8FE-575F050F886E";
/// Id, offset of the value behind [`ITEMS`], its length, and flags.
const METADATA_ITEMS: [(&str, u32, u32, u32); 5] = [
    ("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 0, 8, 4),
    ("2FA54224-CD1B-4876-B211-5DBED83BF4B8", 8, 8, 6),
    ("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 16, 4, 6),
    ("CDA348C7-445D-4471-9CC9-E9885251C556", 20, 4, 6),
    ("BECA12AB-B2E6-4523-93EF-C309E000C746", 24, 16, 6),
];
const LOCATOR: &str = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C";
const LOCATOR_TYPE: &str = "B04AEFB7-D19E-4A81-B789-25B8E9445913";

/// A dynamic image of 8 MiB in blocks of 1 MiB, of which the first is there.
#[derive(Clone)]
pub struct Forge {
    /// The file, to be spoilt.
    pub file: Bytes,
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

impl Forge {
    /// The valid image.
    pub fn new() -> Self {
        let mut file = Bytes::new();
        file.put(0, b"vhdxfile");
        for (sequence, at) in (1..).zip(HEADERS) {
            file.put(at, b"head").le64(at + 8, sequence).put(at + 16, &[1; 16]).put(at + 32, &[2; 16]);
            file.le16(at + 66, 1).le32(at + 68, 1 << 20).le64(at + 72, LOG);
        }
        for at in REGIONS {
            file.put(at, b"regi").le32(at + 8, 2);
            file.put(at + 16, &guid(TABLE_ID)).le64(at + 32, TABLE).le32(at + 40, 1 << 20).le32(at + 44, 1);
            file.put(at + 48, &guid(METADATA_ID))
                .le64(at + 64, METADATA)
                .le32(at + 72, 1 << 20)
                .le32(at + 76, 1);
        }
        file.put(METADATA, b"metadata").le16(METADATA + 10, 5);
        for (number, (id, at, length, flags)) in (0..).zip(METADATA_ITEMS) {
            let entry = METADATA + 32 + number * 32;
            file.put(entry, &guid(id))
                .le32(entry + 16, (64 << 10) + at)
                .le32(entry + 20, length)
                .le32(entry + 24, flags);
        }
        let items = METADATA + ITEMS;
        file.le32(items, 1 << 20).le64(items + 8, 8 * MIB).le32(items + 16, 512).le32(items + 20, 4096);
        file.put(items + 24, &[3; 16]);
        file.le64(TABLE, DATA | 6).put(DATA, &[0x5a; 8192]).resize(DATA + MIB);
        Self { file }
    }

    /// Mends the checksums of headers and regions.
    pub fn seal(&self) -> Bytes {
        let mut file = self.file.clone();
        seal(&mut file);
        file
    }

    /// Puts an entry into the log, with its checksum, and names the log in the headers.
    pub fn log(&mut self, at: u64, entry: &mut Bytes) -> &mut Self {
        let sum = crc32c(&entry.le32(4, 0).to_vec());
        self.file.put(LOG + at, &entry.le32(4, sum).to_vec());
        for header in HEADERS {
            self.file.put(header + 48, &LOG_ID);
        }
        self
    }
}

fn seal(file: &mut Bytes) {
    for (at, length) in HEADERS.map(|at| (at, 4096)).into_iter().chain(REGIONS.map(|at| (at, 65536))) {
        let sum = crc32c(&file.le32(at + 4, 0).get(at, length));
        file.le32(at + 4, sum);
    }
}

/// A log entry (2.3.1.1) with these descriptors, each of 32 bytes, and data sectors behind them.
fn entry(descriptors: &[Bytes], sectors: u32, tail: u32, file: u64) -> Bytes {
    let count = u32::try_from(descriptors.len()).expect("a few descriptors");
    let mut bytes = Bytes::new();
    bytes.put(0, b"loge").le32(8, 4096 * (1 + sectors)).le32(12, tail).le64(16, 1).le32(24, count);
    bytes.put(32, &LOG_ID).le64(48, file).le64(56, file);
    for (number, descriptor) in (0..).zip(descriptors) {
        bytes.put(64 + number * 32, &descriptor.to_vec());
    }
    for number in 1..=u64::from(sectors) {
        bytes.put(4096 * number, b"data").put(4096 * number + 8, &[0x77; 4084]).le32(4096 * number + 4092, 1);
    }
    bytes.resize(4096 * (1 + u64::from(sectors)));
    bytes
}

fn zeroes(at: u64, length: u64) -> Bytes {
    let mut descriptor = Bytes::new();
    descriptor.put(0, b"zero").le64(8, length).le64(16, at).le64(24, 1);
    descriptor
}

fn sector(at: u64) -> Bytes {
    let mut descriptor = Bytes::new();
    descriptor.put(0, b"desc").put(4, &[0x77; 12]).le64(16, at).le64(24, 1);
    descriptor
}

const ITEM: u64 = METADATA + ITEMS;
const HEADER_FIELDS: [fields::Field; 5] = [
    ("sequence", 8, 8),
    ("log-version", 64, 2),
    ("version", 66, 2),
    ("log-length", 68, 4),
    ("log-offset", 72, 8),
];
const OTHER_FIELDS: [fields::Field; 9] = [
    ("table-offset", 32, 8),
    ("table-length", 40, 4),
    ("metadata-offset", 64, 8),
    ("metadata-length", 72, 4),
    ("region-count", 8, 4),
    ("block-size", ITEM, 4),
    ("parameters", ITEM + 4, 4),
    ("size", ITEM + 8, 8),
    ("sector", ITEM + 16, 4),
];

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    let mut cases = structures();
    cases.extend(logs());
    cases.push(parent(bait));
    let image = Forge::new().seal();
    // Both copies have the field, or the other one would count.
    for (name, at, length) in HEADER_FIELDS {
        let both = |file: &mut Bytes| {
            let value = file.get(HEADERS[1] + at, length);
            file.put(HEADERS[0] + at, &value);
            seal(file);
        };
        cases.extend(fields::variants(
            "vhdx",
            "header",
            Order::Little,
            &image,
            &[(name, HEADERS[1] + at, length)],
            both,
        ));
    }
    for (name, at, length) in OTHER_FIELDS {
        let in_regions = at < 4096;
        let place = if in_regions { REGIONS[0] + at } else { at };
        let both = |file: &mut Bytes| {
            if in_regions {
                let value = file.get(place, length);
                file.put(REGIONS[1] + at, &value);
            }
            seal(file);
        };
        cases.extend(fields::variants(
            "vhdx",
            "table",
            Order::Little,
            &image,
            &[(name, place, length)],
            both,
        ));
    }
    let lengths =
        [64 * KIB, 70_000, 192 * KIB, 320 * KIB, MIB, METADATA, METADATA + 100, TABLE, DATA, DATA + MIB - 1];
    cases.extend(fields::truncations("vhdx", &image, &lengths, &["corrupt."]));
    cases
}

fn structures() -> Vec<Case> {
    const CORRUPT: Expected = Expected::Refused(&["corrupt."]);
    const SUM: Expected = Expected::Refused(&["corrupt.checksum", "corrupt.header"]);
    let spoilt = |id: &str, what: &str, expected, spoil: &dyn Fn(&mut Bytes)| {
        let mut forge = Forge::new();
        spoil(&mut forge.file);
        Case::new(id, what, "vhdx", forge.seal(), expected)
    };
    let after = |id: &str, what: &str, expected, spoil: &dyn Fn(&mut Bytes)| {
        let mut image = Forge::new().seal();
        spoil(&mut image);
        Case::new(id, what, "vhdx", image, expected)
    };
    vec![
        after("x-good", "a dynamic image", Expected::ReadSafely, &|_| {}),
        after("x-one-header", "one header is damaged, the other counts", Expected::ReadSafely, &|file| {
            file.le32(HEADERS[1] + 4, 1);
        }),
        after("x-no-header", "both headers are damaged", SUM, &|file| {
            HEADERS.iter().for_each(|at| {
                file.le32(at + 4, 1);
            });
        }),
        after("x-no-regions", "both region tables are damaged", SUM, &|file| {
            REGIONS.iter().for_each(|at| {
                file.le32(at + 4, 1);
            });
        }),
        spoilt(
            "x-same-sequence",
            "both headers have the same number and differ",
            Expected::Either,
            &|file| {
                file.le64(HEADERS[1] + 8, 1).le64(HEADERS[1] + 72, 2 * MIB);
            },
        ),
        spoilt("x-overlap", "the regions overlap", CORRUPT, &|file| {
            REGIONS.iter().for_each(|at| {
                file.le64(at + 32, METADATA);
            });
        }),
        spoilt("x-region-log", "a region in the log", CORRUPT, &|file| {
            REGIONS.iter().for_each(|at| {
                file.le64(at + 32, LOG);
            });
        }),
        spoilt("x-region-header", "a region in the headers", CORRUPT, &|file| {
            REGIONS.iter().for_each(|at| {
                file.le64(at + 64, 0);
            });
        }),
        spoilt(
            "x-region-unknown",
            "an unknown region that is required",
            Expected::Refused(&["unsupported."]),
            &|file| {
                REGIONS.iter().for_each(|at| {
                    file.le32(at + 8, 3)
                        .put(at + 80, &[9; 16])
                        .le64(at + 96, 5 * MIB)
                        .le32(at + 104, 1 << 20)
                        .le32(at + 108, 1);
                });
                file.resize(6 * MIB);
            },
        ),
        spoilt("x-region-twice", "two block tables", CORRUPT, &|file| {
            REGIONS.iter().for_each(|at| {
                file.put(at + 48, &guid(TABLE_ID));
            });
        }),
        spoilt("x-table-short", "a block table too short for the disk", CORRUPT, &|file| {
            file.le64(ITEM + 8, 1 << 40);
        }),
        spoilt("x-item-far", "a metadata item behind its region", CORRUPT, &|file| {
            file.le32(METADATA + 32 + 16, 0x00ff_ffff);
        }),
        spoilt("x-item-in-table", "a metadata item in the table of items", CORRUPT, &|file| {
            file.le32(METADATA + 32 + 16, 0);
        }),
        spoilt(
            "x-item-unknown",
            "an unknown item that is required",
            Expected::Refused(&["unsupported."]),
            &|file| {
                file.le16(METADATA + 10, 6)
                    .put(METADATA + 32 + 160, &[9; 16])
                    .le32(METADATA + 32 + 176, 65536 + 64);
                file.le32(METADATA + 32 + 180, 4).le32(METADATA + 32 + 184, 4);
            },
        ),
        spoilt("x-items", "65535 metadata items", CORRUPT, &|file| {
            file.le16(METADATA + 10, 0xffff);
        }),
        spoilt("x-block-twice", "one block twice", Expected::Refused(&["corrupt.aliased"]), &|file| {
            file.le64(TABLE + 8, DATA | 6);
        }),
        spoilt("x-blocks-all", "8 MiB of one block", Expected::Refused(&["corrupt.aliased"]), &|file| {
            file.put(TABLE, &(DATA | 6).to_le_bytes().repeat(8));
        }),
        spoilt(
            "x-block-table",
            "a block that is the block table",
            Expected::Refused(&["corrupt.aliased", "corrupt.table"]),
            &|file| {
                file.le64(TABLE, TABLE | 6);
            },
        ),
        spoilt(
            "x-block-header",
            "a block that is the headers",
            Expected::Refused(&["corrupt.aliased", "corrupt.table"]),
            &|file| {
                file.le64(TABLE, 6);
            },
        ),
        spoilt(
            "x-block-far",
            "a block behind the end of the file",
            Expected::Refused(&["corrupt.truncated", "corrupt.table"]),
            &|file| {
                file.le64(TABLE, 1 << 45 | 6);
            },
        ),
        spoilt("x-block-state", "a block in a state that there is not", CORRUPT, &|file| {
            file.le64(TABLE, DATA | 5);
        }),
        spoilt("x-block-partial", "a partial block without a parent", CORRUPT, &|file| {
            file.le64(TABLE, DATA | 7);
        }),
        spoilt("x-size", "a disk of 2^63 bytes", Expected::Refused(&["limit.", "corrupt."]), &|file| {
            file.le64(ITEM + 8, 1 << 63);
        }),
        spoilt(
            "x-sector",
            "sectors of 513 bytes",
            Expected::Refused(&["corrupt.", "unsupported."]),
            &|file| {
                file.le32(ITEM + 16, 513);
            },
        ),
        spoilt(
            "x-version",
            "version 2",
            Expected::Refused(&["unsupported.version", "unsupported.", "corrupt."]),
            &|file| {
                HEADERS.iter().for_each(|at| {
                    file.le16(at + 66, 2);
                });
            },
        ),
    ]
}

fn logs() -> Vec<Case> {
    const EITHER: Expected = Expected::Refused(&["corrupt.", "denied.", "limit."]);
    let logged =
        |id: &str, what: &str, expected, descriptors: &[Bytes], sectors: u32, tail: u32, file: u64| {
            let mut forge = Forge::new();
            forge.log(0, &mut entry(descriptors, sectors, tail, file));
            Case::new(id, what, "vhdx", forge.seal(), expected)
        };
    let mut wrong_sum = Forge::new();
    wrong_sum.log(0, &mut entry(&[zeroes(DATA, 4096)], 0, 0, DATA + MIB)).file.le32(LOG + 4, 1);
    let mut huge = Forge::new();
    huge.log(0, entry(&[zeroes(DATA, 4096)], 0, 0, DATA + MIB).le32(8, 0xffff_f000));
    let mut many = Forge::new();
    many.log(0, entry(&[zeroes(DATA, 4096)], 0, 0, DATA + MIB).le32(24, u32::MAX));
    let mut length = Forge::new();
    length.log(0, &mut entry(&[zeroes(DATA, 4096)], 0, 0, DATA + MIB));
    for at in HEADERS {
        length.file.le32(at + 68, 0xfff0_0000);
    }
    vec![
        logged(
            "x-log-good",
            "a log that takes the one block out of the table",
            Expected::ReadSafely,
            &[zeroes(TABLE, 4096)],
            0,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-table-data",
            "a log that writes behind the used part of the table",
            Expected::ReadSafely,
            &[sector(TABLE + 4096)],
            1,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-payload-zero",
            "a log that zeroes a sector of the first block, which logs are not for",
            Expected::Refused(&["unsupported.log"]),
            &[zeroes(DATA, 4096)],
            0,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-payload",
            "a log that writes a sector of the first block, which logs are not for",
            Expected::Refused(&["unsupported.log"]),
            &[sector(DATA + 4096)],
            1,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-header",
            "a log that zeroes the headers",
            Expected::Either,
            &[zeroes(64 * KIB, 128 * KIB)],
            0,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-table",
            "a log that zeroes the region tables",
            Expected::Either,
            &[zeroes(192 * KIB, 128 * KIB)],
            0,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-metadata",
            "a log that zeroes the metadata",
            Expected::Refused(&["corrupt."]),
            &[zeroes(METADATA, MIB)],
            0,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-tail",
            "a log entry with its tail elsewhere",
            EITHER,
            &[zeroes(DATA, 4096)],
            0,
            8192,
            DATA + MIB,
        ),
        logged(
            "x-log-long",
            "a log that says the file is longer than it is",
            EITHER,
            &[zeroes(DATA, 4096)],
            0,
            0,
            1 << 40,
        ),
        logged(
            "x-log-far",
            "a log that writes behind the end of the file",
            EITHER,
            &[sector(1 << 45)],
            1,
            0,
            DATA + MIB,
        ),
        logged(
            "x-log-zero-far",
            "a log that zeroes 16 EiB",
            EITHER,
            &[zeroes(DATA, u64::MAX - 4095)],
            0,
            0,
            DATA + MIB,
        ),
        Case::new("x-log-sum", "a log entry with a wrong checksum", "vhdx", wrong_sum.seal(), EITHER),
        Case::new("x-log-entry", "a log entry of 4 GiB", "vhdx", huge.seal(), EITHER),
        Case::new("x-log-many", "a log entry of 2^32 descriptors", "vhdx", many.seal(), EITHER),
        Case::new("x-log-length", "a log of 4 GiB", "vhdx", length.seal(), EITHER),
    ]
}

fn parent(bait: &Bait) -> Case {
    let mut forge = Forge::new();
    let (key, value): (Vec<u8>, Vec<u8>) = (
        "absolute_win32_path".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        bait.file.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    );
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a short path");
    let at = ITEM + 256;
    let size = 20 + 12 + u32::from(length(&key)) + u32::from(length(&value));
    let item = METADATA + 32 + 160;
    forge.file.le16(METADATA + 10, 6).put(item, &guid(LOCATOR));
    forge.file.le32(item + 16, 65536 + 256).le32(item + 20, size).le32(item + 24, 4).le32(ITEM + 4, 2);
    forge
        .file
        .put(at, &guid(LOCATOR_TYPE))
        .le16(at + 18, 1)
        .le32(at + 20, 32)
        .le32(at + 24, 32 + u32::from(length(&key)));
    forge.file.le16(at + 28, length(&key)).le16(at + 30, length(&value)).put(at + 32, &key);
    forge.file.put(at + 32 + u64::from(length(&key)), &value);
    let reference = Expected::Refused(&["denied.external-reference", "corrupt."]);
    Case::new("x-parent", "a parent elsewhere on the host", "vhdx", forge.seal(), reference)
}
