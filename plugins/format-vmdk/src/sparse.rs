//! A sparse extent: its directories, and its grain tables as they are needed.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{MAX_READ, end_of, inside, overlap, read_all, read_each, read_exact},
        wire::{le32, le64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    footer::Footer,
    header::{HEADER, Header, MARKER},
    sector::{SECTOR, sector},
    tables::{Tables, has_table_in},
};

/// Grain tables that are read at once, at most.
const BATCH: usize = 64;
/// Entries of the directory that one batch looks at.
const LOOKAHEAD: usize = 4096;

/// What a stored grain may be longer than a grain: the host's bound on encoded units is twice the
/// unit and 4 KiB.
const SLACK: u64 = 4096;

/// What an entry of a grain table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Hole,
    Zero,
    /// Byte offset of the grain, or of its marker.
    At(u64),
}

/// An open sparse extent.
///
/// Memory: two directories (at most 8 MiB each), the places of their tables in order (twice that),
/// and 1 MiB of tables.
pub(crate) struct Sparse {
    pub(crate) blob: Box<dyn Blob>,
    pub(crate) header: Header,
    /// Where the header, the descriptor, the directories and the footer are.
    pub(crate) fixed: Vec<ByteRange>,
    /// Sector of each grain table; 0 is none.
    pub(crate) directory: Vec<u32>,
    /// The same of the redundant tables; empty when there are none.
    pub(crate) redundant: Vec<u32>,
    /// The sectors of all tables, in order.
    tables: Vec<u32>,
    /// What is odd about the file, and does not change what is read.
    pub(crate) remarks: Vec<String>,
    loaded: Vec<(usize, Vec<u8>)>,
}

impl Sparse {
    /// Reads the header (and the footer, if it has the directory) and both directories.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, FormatError> {
        let first = ByteRange { offset: 0, length: HEADER };
        inside(blob.as_ref(), "the header", first)?;
        let mut header = Header::parse(&read_exact(blob.as_ref(), first.offset, first.length)?)?;
        let mut fixed = vec![first];
        let mut remarks = Vec::new();
        if header.directory.is_none() {
            let footer = Footer::find(blob.as_ref(), &header)?;
            header = footer.header;
            fixed.push(footer.range);
            remarks.extend(footer.remark);
        }
        let at = header
            .directory
            .ok_or_else(|| FormatError::Header("the footer names no grain directory".to_owned()))?;
        if header.descriptor.length > 0 {
            inside(blob.as_ref(), "the embedded descriptor", header.descriptor)?;
            fixed.push(header.descriptor);
        }
        let (tables, remark) = Tables::read(blob.as_ref(), &header, &fixed, at)?;
        remarks.extend(remark);
        let Tables { directory, redundant, sectors, ranges } = tables;
        fixed.extend(ranges);
        fixed.retain(|range| range.length > 0);
        Ok(Self { blob, header, fixed, directory, redundant, tables: sectors, remarks, loaded: Vec::new() })
    }

    /// Whether a grain table has a byte in the range.
    fn has_table_in(&self, range: ByteRange) -> bool {
        has_table_in(&self.tables, self.header.table(), range)
    }

    /// Whether the range has a byte of the extent's own structures.
    pub(crate) fn is_own(&self, range: ByteRange) -> bool {
        self.has_table_in(range) || self.fixed.iter().any(|fixed| overlap(*fixed, range))
    }

    /// The ranges of all structures, from the `skip`th on.
    pub(crate) fn own_ranges(&self, skip: usize) -> impl Iterator<Item = ByteRange> + '_ {
        let length = self.header.table();
        let tables = self.tables.iter().skip(skip.saturating_sub(self.fixed.len()));
        let tables = tables.map(move |table| ByteRange { offset: sector(*table), length });
        self.fixed.iter().skip(skip).copied().chain(tables)
    }

    /// The first index from `index` on that has a grain table.
    pub(crate) fn next_table(&self, index: usize) -> Option<usize> {
        let skip = self.directory.get(index..)?.iter().position(|table| *table != 0)?;
        Some(index + skip)
    }

    /// The entries of a grain table that exists, as bytes; it and its neighbours are read together.
    pub(crate) fn table(&mut self, index: usize) -> Result<&[u8], FormatError> {
        if let Some(found) = self.loaded.iter().position(|(loaded, _)| *loaded == index) {
            return Ok(&self.loaded[found].1);
        }
        let length = self.header.table();
        let most = to_usize(u64::from(MAX_READ) / length)?.min(BATCH);
        let entries = self.directory.iter().enumerate().skip(index).take(LOOKAHEAD);
        let wanted: Vec<(usize, u32)> = entries
            .filter(|(_, table)| **table != 0)
            .take(most)
            .map(|(index, table)| (index, *table))
            .collect();
        let ranges: Vec<ByteRange> =
            wanted.iter().map(|(_, table)| ByteRange { offset: sector(*table), length }).collect();
        let bytes = read_all(self.blob.as_ref(), &ranges)?;
        self.loaded = wanted.iter().map(|(index, _)| *index).zip(bytes).collect();
        match self.loaded.first() {
            Some((first, bytes)) if *first == index => Ok(bytes),
            Some(_) | None => Err(FormatError::Request(format!("there is no grain table {index}"))),
        }
    }

    /// The redundant copy of a grain table.
    pub(crate) fn redundant_table(&self, index: usize) -> Result<Option<Vec<u8>>, FormatError> {
        let Some(table) = self.redundant.get(index).copied().filter(|table| *table != 0) else {
            return Ok(None);
        };
        read_exact(self.blob.as_ref(), sector(table), self.header.table()).map(Some)
    }

    /// Parses an entry.
    pub(crate) fn grain(&self, entry: u32) -> Grain {
        match entry {
            0 => Grain::Hole,
            1 if self.header.zero_grains => Grain::Zero,
            other => Grain::At(sector(other)),
        }
    }

    /// The markers of all grains that are stored, in order, [`MARKER`] bytes each.
    pub(crate) fn markers(&self, entries: &[u32]) -> Result<Vec<u8>, FormatError> {
        let mut places = Vec::new();
        for entry in entries {
            let Grain::At(offset) = self.grain(*entry) else { continue };
            if offset + MARKER > self.blob.size() {
                return Err(FormatError::Truncated(format!(
                    "a grain is at {offset:#x} of the file, which ends at {:#x}",
                    self.blob.size()
                )));
            }
            places.push(offset);
        }
        read_each(self.blob.as_ref(), &places, u32::try_from(MARKER).expect("it is 12"))
    }

    /// The length in a marker, when the marker is the one of the grain that begins at `start` of
    /// the disk.
    pub(crate) fn stored_length(&self, marker: &[u8], start: u64, offset: u64) -> Result<u32, FormatError> {
        let (address, length) = (le64(marker, 0).unwrap_or(u64::MAX), le32(marker, 8).unwrap_or(0));
        if address != start / SECTOR {
            return Err(FormatError::Table(format!(
                "the grain table places sector {} at {offset:#x} of the file, and the marker there says sector {address}",
                start / SECTOR
            )));
        }
        if length == 0 || u64::from(length) > 2 * self.header.grain + SLACK {
            return Err(FormatError::Encoded(format!(
                "the grain at {offset:#x} of the file claims to be stored in {length} bytes"
            )));
        }
        let stored = ByteRange { offset: offset + MARKER, length: length.into() };
        if end_of(stored) > self.blob.size() {
            return Err(FormatError::Truncated(format!(
                "the grain at {offset:#x} of the file has {length} bytes, and the file ends at {:#x}",
                self.blob.size()
            )));
        }
        Ok(length)
    }
}
