//! A writer for small ISO 9660 images with one folder of files, as Linux and other guests read
//! them: level 1 names, Rock Ridge names and modes, and a Joliet tree. The same input gives the
//! same bytes.
//!
//! | sector (2048 bytes) | holds |
//! |---|---|
//! | 0 to 15 | system area, zeroes |
//! | 16, 17, 18 | primary descriptor, Joliet descriptor, terminator |
//! | 19, 20 | path tables of the primary tree, little and big endian |
//! | 21, 22 | path tables of the Joliet tree |
//! | 23, 24 | root folder of the primary tree, of the Joliet tree |
//! | 25 ... | the files, each from a sector's start |

const SECTOR: usize = 2048;
const PRIMARY_TABLE: u32 = 19;
const JOLIET_TABLE: u32 = 21;
const PRIMARY_ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const FIRST_FILE: u32 = 25;
/// A path table with nothing but the root.
const TABLE_BYTES: u32 = 10;
/// The start of 2000, UTC, in the short form and in the long one.
const SHORT_DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];
const LONG_DATE: &[u8; 17] = b"2000010100000000\0";
const NO_DATE: &[u8; 17] = b"0000000000000000\0";
const FOLDER: u8 = 2;
const FOLDER_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;

/// A file of the image.
pub(super) struct File<'a> {
    name: &'a str,
    short: &'a str,
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    /// `name` is for Rock Ridge and Joliet; `short` has at most eight capital letters, digits and
    /// underscores.
    pub(super) fn new(name: &'a str, short: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, short, bytes }
    }

    fn size(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a seed's files are bounded to kilobytes")
    }

    fn sectors(&self) -> u32 {
        self.size().div_ceil(2048)
    }
}

/// The two trees differ in how they spell names.
#[derive(Clone, Copy)]
enum Tree {
    Primary,
    Joliet,
}

/// The image. The files' records must fit one sector a tree: about ten of them.
pub(super) fn write(volume: &str, files: &[File<'_>]) -> Vec<u8> {
    let payload: u32 = files.iter().map(File::sectors).sum();
    let total = FIRST_FILE + payload;
    let mut image = vec![0; 16 * SECTOR];
    sector(&mut image, &descriptor(Tree::Primary, volume, total));
    sector(&mut image, &descriptor(Tree::Joliet, volume, total));
    sector(&mut image, b"\xffCD001\x01");
    for root in [PRIMARY_ROOT, JOLIET_ROOT] {
        sector(&mut image, &path_table(root.to_le_bytes(), 1_u16.to_le_bytes()));
        sector(&mut image, &path_table(root.to_be_bytes(), 1_u16.to_be_bytes()));
    }
    for tree in [Tree::Primary, Tree::Joliet] {
        sector(&mut image, &folder(tree, files));
    }
    for file in files {
        for chunk in file.bytes.chunks(SECTOR) {
            sector(&mut image, chunk);
        }
    }
    image
}

fn sector(image: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= SECTOR, "a folder of two files fits one sector");
    image.extend_from_slice(bytes);
    image.resize(image.len().next_multiple_of(SECTOR), 0);
}

fn both_u16(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both_u32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Text of a fixed length, filled with blanks.
fn field(tree: Tree, text: &str, length: usize) -> Vec<u8> {
    let (mut bytes, blank): (_, &[u8]) = match tree {
        Tree::Primary => (text.as_bytes().to_vec(), b" "),
        Tree::Joliet => (wide(text), b"\0 "),
    };
    while bytes.len() + blank.len() <= length {
        bytes.extend_from_slice(blank);
    }
    bytes.resize(length, 0);
    bytes
}

fn descriptor(tree: Tree, volume: &str, total: u32) -> Vec<u8> {
    let (kind, escapes, table, root): (_, &[u8], _, _) = match tree {
        Tree::Primary => (1, b"", PRIMARY_TABLE, PRIMARY_ROOT),
        Tree::Joliet => (2, b"%/E", JOLIET_TABLE, JOLIET_ROOT),
    };
    let mut out = vec![kind];
    out.extend_from_slice(b"CD001\x01\0");
    out.extend(field(tree, "LINUX", 32));
    out.extend(field(tree, volume, 32));
    out.extend([0; 8]);
    out.extend(both_u32(total));
    out.extend_from_slice(escapes);
    out.resize(120, 0);
    out.extend(both_u16(1));
    out.extend(both_u16(1));
    out.extend(both_u16(2048));
    out.extend(both_u32(TABLE_BYTES));
    out.extend(table.to_le_bytes());
    out.extend([0; 4]);
    out.extend((table + 1).to_be_bytes());
    out.extend([0; 4]);
    out.extend(record(&[0], root, 2048, FOLDER, &[]));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(field(tree, "", length));
    }
    for date in [LONG_DATE, LONG_DATE, NO_DATE, NO_DATE] {
        out.extend_from_slice(date);
    }
    out.push(1);
    out
}

fn path_table(root: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend(root);
    out.extend(parent);
    out.extend([0, 0]);
    out
}

fn folder(tree: Tree, files: &[File<'_>]) -> Vec<u8> {
    let (root, own, parent) = match tree {
        Tree::Primary => (PRIMARY_ROOT, root_extras(), attributes(FOLDER_MODE, 2)),
        Tree::Joliet => (JOLIET_ROOT, Vec::new(), Vec::new()),
    };
    let mut out = record(&[0], root, 2048, FOLDER, &own);
    out.extend(record(&[1], root, 2048, FOLDER, &parent));
    let mut at = FIRST_FILE;
    for file in files {
        let (name, extras) = match tree {
            Tree::Primary => (format!("{}.;1", file.short).into_bytes(), file_extras(file.name)),
            Tree::Joliet => (wide(file.name), Vec::new()),
        };
        out.extend(record(&name, at, file.size(), 0, &extras));
        at += file.sectors();
    }
    out
}

/// A folder record: fixed part, name padded to an even offset, system use area padded to an even
/// length.
fn record(name: &[u8], extent: u32, size: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both_u32(extent));
    out.extend(both_u32(size));
    out.extend(SHORT_DATE);
    out.extend([flags, 0, 0]);
    out.extend(both_u16(1));
    out.push(u8::try_from(name.len()).expect("names are short"));
    out.extend_from_slice(name);
    out.resize(out.len().next_multiple_of(2), 0);
    out.extend_from_slice(system_use);
    out.resize(out.len().next_multiple_of(2), 0);
    out[0] = u8::try_from(out.len()).expect("a record with a short name is below 256 bytes");
    out
}

/// Rock Ridge PX: mode, links, and root as owner.
fn attributes(mode: u32, links: u32) -> Vec<u8> {
    let mut out = b"PX\x24\x01".to_vec();
    for value in [mode, links, 0, 0] {
        out.extend(both_u32(value));
    }
    out
}

/// What the root's own record says: SUSP in use (SP), Rock Ridge (RR, ER), and its attributes.
fn root_extras() -> Vec<u8> {
    let mut out = b"SP\x07\x01\xbe\xef\0RR\x05\x01\x01".to_vec();
    out.extend(attributes(FOLDER_MODE, 2));
    out.extend_from_slice(b"ER\x12\x01\x0a\0\0\x01RRIP_1991A");
    out
}

fn file_extras(name: &str) -> Vec<u8> {
    let mut out = b"RR\x05\x01\x09".to_vec();
    out.extend(attributes(FILE_MODE, 1));
    out.extend_from_slice(b"NM");
    out.push(u8::try_from(name.len() + 5).expect("names are short"));
    out.extend([1, 0]);
    out.extend_from_slice(name.as_bytes());
    out
}
