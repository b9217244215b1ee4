//! A writer for small ISO 9660 images with the files of one folder, in the root or below it, as
//! Linux and other guests read them: level 1 names, Rock Ridge names and modes, and a Joliet tree.
//! The same input gives the same bytes.
//!
//! | sector (2048 bytes) | holds |
//! |---|---|
//! | 0 to 15 | system area, zeroes |
//! | 16, 17, 18 | primary descriptor, Joliet descriptor, terminator |
//! | 19, 20 | path tables of the primary tree, little and big endian |
//! | 21, 22 | path tables of the Joliet tree |
//! | 23 ... | folders of the primary tree, from the root down, one sector each |
//! | ... | folders of the Joliet tree |
//! | ... | the files, each from a sector's start |

const SECTOR: usize = 2048;
const PRIMARY_TABLE: u32 = 19;
const JOLIET_TABLE: u32 = 21;
const FIRST_FOLDER: u32 = 23;
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

/// A folder on the way to the files; both names are as those of a [`File`].
pub(super) struct Folder {
    pub(super) name: &'static str,
    pub(super) short: &'static str,
}

/// The two trees differ in how they spell names.
#[derive(Clone, Copy)]
enum Tree {
    Primary,
    Joliet,
}

/// Returns an image with files in the last of nested folders, or in the root. The files' records
/// must fit one sector a tree: about ten of them.
pub(super) fn write(volume: &str, path: &[Folder], files: &[File<'_>]) -> Vec<u8> {
    let layout = Layout { path, depth: u32::try_from(path.len()).expect("a path has few folders") };
    let payload: u32 = files.iter().map(File::sectors).sum();
    let total = layout.first_file() + payload;
    let mut image = vec![0; 16 * SECTOR];
    sector(&mut image, &layout.descriptor(Tree::Primary, volume, total));
    sector(&mut image, &layout.descriptor(Tree::Joliet, volume, total));
    sector(&mut image, b"\xffCD001\x01");
    for tree in [Tree::Primary, Tree::Joliet] {
        sector(&mut image, &layout.path_table(tree, u32::to_le_bytes, u16::to_le_bytes));
        sector(&mut image, &layout.path_table(tree, u32::to_be_bytes, u16::to_be_bytes));
    }
    for tree in [Tree::Primary, Tree::Joliet] {
        for level in 0..=layout.depth {
            sector(&mut image, &layout.folder(tree, level, files));
        }
    }
    for file in files {
        for chunk in file.bytes.chunks(SECTOR) {
            sector(&mut image, chunk);
        }
    }
    image
}

fn sector(image: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= SECTOR, "a folder of a few files fits one sector");
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

/// Where the folders and files are.
struct Layout<'a> {
    path: &'a [Folder],
    /// The number of folders below the root.
    depth: u32,
}

impl Layout<'_> {
    /// Returns the sector of a folder; the root has level 0.
    fn place(&self, tree: Tree, level: u32) -> u32 {
        let before = match tree {
            Tree::Primary => 0,
            Tree::Joliet => self.depth + 1,
        };
        FIRST_FOLDER + before + level
    }

    fn first_file(&self) -> u32 {
        self.place(Tree::Joliet, self.depth) + 1
    }

    fn descriptor(&self, tree: Tree, volume: &str, total: u32) -> Vec<u8> {
        let (kind, escapes, table): (_, &[u8], _) = match tree {
            Tree::Primary => (1, b"", PRIMARY_TABLE),
            Tree::Joliet => (2, b"%/E", JOLIET_TABLE),
        };
        let table_bytes = self.path_table(tree, u32::to_le_bytes, u16::to_le_bytes).len();
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
        out.extend(both_u32(u32::try_from(table_bytes).expect("a path table fits a sector")));
        out.extend(table.to_le_bytes());
        out.extend([0; 4]);
        out.extend((table + 1).to_be_bytes());
        out.extend([0; 4]);
        out.extend(record(&[0], self.place(tree, 0), 2048, FOLDER, &[]));
        for length in [128, 128, 128, 128, 37, 37, 37] {
            out.extend(field(tree, "", length));
        }
        for date in [LONG_DATE, LONG_DATE, NO_DATE, NO_DATE] {
            out.extend_from_slice(date);
        }
        out.push(1);
        out
    }

    /// Returns the table of the folders with their parents, which are numbered from 1.
    fn path_table(&self, tree: Tree, long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mut out = Vec::new();
        let names = std::iter::once(vec![0]).chain(self.path.iter().map(|folder| folder.spelled(tree)));
        for (level, name) in (0..).zip(names) {
            out.extend([u8::try_from(name.len()).expect("names are short"), 0]);
            out.extend(long(self.place(tree, level)));
            out.extend(short(u16::try_from(level.max(1)).expect("a path has few folders")));
            out.extend(name);
            out.resize(out.len().next_multiple_of(2), 0);
        }
        out
    }

    fn folder(&self, tree: Tree, level: u32, files: &[File<'_>]) -> Vec<u8> {
        let is_last = level == self.depth;
        let links = if is_last { 2 } else { 3 };
        let (own, parent) = match tree {
            Tree::Primary if level == 0 => (root_extras(links), attributes(FOLDER_MODE, links)),
            Tree::Primary => (attributes(FOLDER_MODE, links), attributes(FOLDER_MODE, 3)),
            Tree::Joliet => (Vec::new(), Vec::new()),
        };
        let above = self.place(tree, level.saturating_sub(1));
        let mut out = record(&[0], self.place(tree, level), 2048, FOLDER, &own);
        out.extend(record(&[1], above, 2048, FOLDER, &parent));
        let next = usize::try_from(level).ok().and_then(|level| self.path.get(level));
        if let Some(folder) = next {
            let links = if level + 1 == self.depth { 2 } else { 3 };
            let extras = match tree {
                Tree::Primary => entry_extras(folder.name, FOLDER_MODE, links),
                Tree::Joliet => Vec::new(),
            };
            out.extend(record(&folder.spelled(tree), self.place(tree, level + 1), 2048, FOLDER, &extras));
            return out;
        }
        let mut at = self.first_file();
        for file in files {
            let (name, extras) = match tree {
                Tree::Primary => {
                    (format!("{}.;1", file.short).into_bytes(), entry_extras(file.name, FILE_MODE, 1))
                }
                Tree::Joliet => (wide(file.name), Vec::new()),
            };
            out.extend(record(&name, at, file.size(), 0, &extras));
            at += file.sectors();
        }
        out
    }
}

impl Folder {
    fn spelled(&self, tree: Tree) -> Vec<u8> {
        match tree {
            Tree::Primary => self.short.as_bytes().to_vec(),
            Tree::Joliet => wide(self.name),
        }
    }
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
fn root_extras(links: u32) -> Vec<u8> {
    let mut out = b"SP\x07\x01\xbe\xef\0RR\x05\x01\x01".to_vec();
    out.extend(attributes(FOLDER_MODE, links));
    out.extend_from_slice(b"ER\x12\x01\x0a\0\0\x01RRIP_1991A");
    out
}

fn entry_extras(name: &str, mode: u32, links: u32) -> Vec<u8> {
    let mut out = b"RR\x05\x01\x09".to_vec();
    out.extend(attributes(mode, links));
    out.extend_from_slice(b"NM");
    out.push(u8::try_from(name.len() + 5).expect("names are short"));
    out.extend([1, 0]);
    out.extend_from_slice(name.as_bytes());
    out
}
