//! Hives of Windows' registry: keys and values by their names, as far as findings need them.
//!
//! Every number of a hive is bounded before it is used. What leads in a circle ends with the budget
//! of the file system, or with the bound on the entries of one key. The log of a hive is not
//! replayed: what the system wrote last before its disk was taken may be missing.

use imprint_plugin_sdk::error::Result;

use crate::{
    bytes::{budget, clean, corrupt, is_at, le16, le32, to_usize, utf16},
    files::ReadAt,
};

/// Where the cells begin: behind the base block.
const CELLS: u64 = 4096;
/// The largest cell that is read, in bytes: lists of 64 Ki names.
const MAX_CELL: usize = 1 << 20;
/// The most keys below a key, and values of a key, that are looked at.
const MAX_ENTRIES: usize = 4096;
/// The longest text of a value in bytes.
const MAX_VALUE: usize = 1024;
/// The types of values: text, text with variables, a number.
const TEXT: [u32; 2] = [1, 2];
const NUMBER: u32 = 4;

/// A hive.
pub(crate) struct Hive<'a> {
    file: &'a mut dyn ReadAt,
    root: u32,
}

/// A key of a hive.
pub(crate) struct Key(Vec<u8>);

impl Key {
    fn name(&self) -> String {
        let Self(cell) = self;
        let length = usize::from(le16(cell, 72));
        let name = cell.get(76..76 + length).unwrap_or_default();
        spelled(name, le16(cell, 2) & 0x20 != 0)
    }
}

/// Returns a name that is stored in one byte a character or in two.
fn spelled(name: &[u8], narrow: bool) -> String {
    if narrow { name.iter().copied().map(char::from).collect() } else { utf16(name).unwrap_or_default() }
}

impl<'a> Hive<'a> {
    /// Opens a hive.
    pub(crate) fn open(file: &'a mut dyn ReadAt) -> Result<Self> {
        let mut base = [0; 64];
        file.read_at(0, &mut base)?;
        if !is_at(&base, 0, b"regf") {
            return Err(corrupt("a hive of the registry has no mark"));
        }
        Ok(Self { root: le32(&base, 36), file })
    }

    /// Returns the key at a path below the root; `None` where there is none.
    pub(crate) fn find(&mut self, path: &[&str]) -> Result<Option<Key>> {
        let mut key = self.key(self.root)?;
        for name in path {
            match self.child(&key, name)? {
                Some(child) => key = child,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Returns the text of a value; `None` where there is none.
    pub(crate) fn text(&mut self, key: &Key, name: &str) -> Result<Option<String>> {
        Ok(match self.value(key, name)? {
            Some((kind, bytes)) if TEXT.contains(&kind) => utf16(&bytes).and_then(|text| clean(&text)),
            Some(_) | None => None,
        })
    }

    /// Returns the number of a value; `None` where there is none.
    pub(crate) fn number(&mut self, key: &Key, name: &str) -> Result<Option<u32>> {
        Ok(match self.value(key, name)? {
            Some((NUMBER, bytes)) if bytes.len() >= 4 => Some(le32(&bytes, 0)),
            Some(_) | None => None,
        })
    }

    /// Returns a cell without its length: at most `max` bytes of it.
    fn cell(&mut self, at: u32, max: usize) -> Result<Vec<u8>> {
        let offset = CELLS + u64::from(at);
        let mut length = [0; 4];
        self.file.read_at(offset, &mut length)?;
        // The length of a cell in use is negative.
        let length = i32::from_le_bytes(length);
        let length = length.checked_neg().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if !(8..=MAX_CELL).contains(&length) {
            return Err(corrupt(format!("the registry has no cell at {at}")));
        }
        let mut cell = vec![0; (length - 4).min(max)];
        self.file.read_at(offset + 4, &mut cell)?;
        Ok(cell)
    }

    fn key(&mut self, at: u32) -> Result<Key> {
        // A name has at most 512 bytes.
        let cell = self.cell(at, 76 + 512)?;
        if is_at(&cell, 0, b"nk") {
            Ok(Key(cell))
        } else {
            Err(corrupt(format!("the registry has no key at {at}")))
        }
    }

    /// Returns the key with a name below a key.
    fn child(&mut self, key: &Key, name: &str) -> Result<Option<Key>> {
        if le32(&key.0, 20) == 0 {
            return Ok(None);
        }
        for at in self.children(le32(&key.0, 28))? {
            let child = self.key(at)?;
            if child.name().eq_ignore_ascii_case(name) {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// Returns where the keys of a list are; a list of lists has one level.
    fn children(&mut self, list: u32) -> Result<Vec<u32>> {
        let cell = self.cell(list, MAX_CELL)?;
        let lists = if is_at(&cell, 0, b"ri") { entries(&cell, 4)? } else { return keys(&cell) };
        let mut found = Vec::new();
        for list in lists {
            let cell = self.cell(list, MAX_CELL)?;
            found.extend(keys(&cell)?);
            if found.len() > MAX_ENTRIES {
                return Err(budget(format!("a key of the registry has more than {MAX_ENTRIES} keys")));
            }
        }
        Ok(found)
    }

    /// Returns the type and the bytes of a value.
    fn value(&mut self, key: &Key, name: &str) -> Result<Option<(u32, Vec<u8>)>> {
        let count = to_usize(le32(&key.0, 36));
        if count == 0 {
            return Ok(None);
        }
        if count > MAX_ENTRIES {
            return Err(budget(format!("a key of the registry has {count} values")));
        }
        let list = self.cell(le32(&key.0, 40), count * 4)?;
        for at in list.chunks_exact(4).map(|at| le32(at, 0)) {
            let cell = self.cell(at, 20 + 512)?;
            if !is_at(&cell, 0, b"vk") {
                return Err(corrupt(format!("the registry has no value at {at}")));
            }
            let length = usize::from(le16(&cell, 2));
            let found = spelled(cell.get(20..20 + length).unwrap_or_default(), le16(&cell, 16) & 1 != 0);
            if found.eq_ignore_ascii_case(name) {
                return self.data(&cell).map(Some);
            }
        }
        Ok(None)
    }

    fn data(&mut self, value: &[u8]) -> Result<(u32, Vec<u8>)> {
        let (length, kind) = (le32(value, 4), le32(value, 12));
        // The upper bit says that the bytes are where else their place would be.
        let bytes = if length >> 31 == 1 {
            value.get(8..8 + to_usize(length & 0x7fff_ffff).min(4)).unwrap_or_default().to_vec()
        } else {
            self.cell(le32(value, 8), to_usize(length).min(MAX_VALUE))?
        };
        Ok((kind, bytes))
    }
}

/// Returns where the keys of a list without lists in it are.
fn keys(cell: &[u8]) -> Result<Vec<u32>> {
    if is_at(cell, 0, b"lf") || is_at(cell, 0, b"lh") {
        entries(cell, 8)
    } else if is_at(cell, 0, b"li") {
        entries(cell, 4)
    } else {
        Err(corrupt("the registry has a list of keys that is none"))
    }
}

fn entries(cell: &[u8], bytes: usize) -> Result<Vec<u32>> {
    let count = usize::from(le16(cell, 2));
    if count > MAX_ENTRIES {
        return Err(budget(format!("a key of the registry has {count} keys")));
    }
    let list = cell.get(4..).unwrap_or_default().chunks_exact(bytes).take(count);
    Ok(list.map(|entry| le32(entry, 0)).collect())
}
