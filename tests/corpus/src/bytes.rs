//! Files put together piece by piece, with holes where nothing was put.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, path::Path};

const PAGE: u64 = 4096;
const PAGE_LENGTH: usize = 4096;
/// Length of a piece that is one byte for a whole page.
const FILL: u16 = u16::MAX;

/// The content of a file: pages that were put, zeroes elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    pages: BTreeMap<u64, Vec<u8>>,
    size: u64,
}

fn index(offset: u64) -> usize {
    usize::try_from(offset % PAGE).expect("an offset inside a page")
}

impl Bytes {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are really written.
    pub fn written(&self) -> usize {
        self.pages.len() * PAGE_LENGTH
    }

    /// Puts bytes at an offset; the file grows to hold them.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let mut rest = bytes;
        let mut cursor = at;
        while !rest.is_empty() {
            let start = index(cursor);
            let length = rest.len().min(PAGE_LENGTH - start);
            let (now, later) = rest.split_at(length);
            let page = self.pages.entry(cursor / PAGE).or_insert_with(|| vec![0; PAGE_LENGTH]);
            page[start..start + length].copy_from_slice(now);
            cursor += u64::try_from(length).expect("a page is short");
            rest = later;
        }
        self.size = self.size.max(cursor);
        self
    }

    /// Puts bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(self.size, bytes)
    }

    /// Cuts the file off, or lengthens it with zeroes.
    pub fn resize(&mut self, size: u64) -> &mut Self {
        self.size = size;
        self.pages.retain(|number, _| number * PAGE < size);
        if let Some(page) = self.pages.get_mut(&(size / PAGE)) {
            page[index(size)..].fill(0);
        }
        self
    }

    /// What is at an offset, with zeroes behind the end.
    pub fn get(&self, at: u64, length: usize) -> Vec<u8> {
        let mut found = vec![0; length];
        let mut cursor = at;
        let mut rest = found.as_mut_slice();
        while !rest.is_empty() {
            let start = index(cursor);
            let now = rest.len().min(PAGE_LENGTH - start);
            let (filled, later) = rest.split_at_mut(now);
            if let Some(page) = self.pages.get(&(cursor / PAGE)) {
                filled.copy_from_slice(&page[start..start + now]);
            }
            cursor += u64::try_from(now).expect("a page is short");
            rest = later;
        }
        found
    }

    /// The whole content; for files of some megabytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.get(0, usize::try_from(self.size).expect("a small file"))
    }

    /// A big-endian number.
    pub fn be16(&mut self, at: u64, value: u16) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// A big-endian number.
    pub fn be32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// A big-endian number.
    pub fn be64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// A little-endian number.
    pub fn le16(&mut self, at: u64, value: u16) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// A little-endian number.
    pub fn le32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// A little-endian number.
    pub fn le64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// A short form for fuzzing, of which every sequence of bytes is one: the size (8 bytes), then
    /// pieces of at most 64 KiB, each with its offset (8 bytes) and length (2 bytes), little
    /// endian. The largest length stands for a page of the one byte that follows.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = self.size.to_le_bytes().to_vec();
        for (number, page) in &self.pages {
            if page[0] != 0 && page.iter().all(|byte| *byte == page[0]) {
                packed.extend((number * PAGE).to_le_bytes());
                packed.extend(FILL.to_le_bytes());
                packed.push(page[0]);
                continue;
            }
            let end = page.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if let (Ok(length), true) = (u16::try_from(end), end > 0) {
                packed.extend((number * PAGE).to_le_bytes());
                packed.extend(length.to_le_bytes());
                packed.extend(&page[..end]);
            }
        }
        packed
    }

    /// The file of a short form; what is cut off counts as far as it is there.
    pub fn unpack(packed: &[u8]) -> Self {
        let mut bytes = Self::new();
        let Some((size, mut rest)) = packed.split_first_chunk::<8>() else { return bytes };
        let size = u64::from_le_bytes(*size);
        while let Some((header, behind)) = rest.split_first_chunk::<10>() {
            let (offset, length) = header.split_at(8);
            let offset = offset.iter().rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
            let length = u16::from(length[0]) | u16::from(length[1]) << 8;
            let stored = if length == FILL { 1 } else { usize::from(length) };
            let (piece, later) = behind.split_at(stored.min(behind.len()));
            rest = later;
            if offset >= u64::MAX / 2 {
                continue;
            }
            match (length, piece) {
                (FILL, [byte]) => bytes.put(offset, &[*byte; PAGE_LENGTH]),
                _ => bytes.put(offset, piece),
            };
        }
        bytes.resize(size);
        bytes
    }

    /// Writes it as a sparse file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::create_new(path)?;
        file.set_len(self.size)?;
        for (number, page) in &self.pages {
            let at = number * PAGE;
            let length = usize::try_from((self.size - at).min(PAGE)).expect("a page is short");
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(&page[..length], at)?;
            }
        }
        Ok(())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        let mut made = Self::new();
        made.put(0, bytes);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_up_where_they_were_put() {
        let mut bytes = Bytes::new();
        bytes.put(4090, b"across pages").put(8192, &[7; 5000]).be32(1 << 40, 7).resize((1 << 40) + 3);
        assert_eq!(bytes.get(4089, 14), b"\0across pages\0");
        assert_eq!((bytes.get((1 << 40) - 1, 5), bytes.size()), (vec![0; 5], (1 << 40) + 3));
        let copy = Bytes::unpack(&bytes.pack());
        assert_eq!((copy.size(), copy.get(0, 20_000)), (bytes.size(), bytes.get(0, 20_000)));
        assert!(bytes.pack().len() < 6000, "a page of one byte is short");
        bytes.resize(4092);
        assert_eq!(bytes.to_vec()[4088..], *b"\0\0ac");
        bytes.resize(5000);
        assert_eq!(bytes.get(4090, 4), b"ac\0\0");
        let dir = std::env::temp_dir().join(format!("imprint-corpus-{}", std::process::id()));
        bytes.write(&dir).unwrap();
        let read = std::fs::read(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(read, bytes.to_vec());
    }
}
