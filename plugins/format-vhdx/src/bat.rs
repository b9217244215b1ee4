//! The block allocation table ([MS-VHDX] 2.5): an entry for each payload block, and after each
//! chunk of them one for the bitmap of the chunk's sectors.

use imprint_plugin_sdk::{format::FormatError, types::ByteRange};

use crate::{
    header::{CLOSE, MIB},
    metadata::Metadata,
    tables::{MAX_READ, Tables},
};

const ENTRY: u64 = 8;
/// Bits 3 to 19 of an entry.
const RESERVED: u64 = 0x000f_fff8;
/// Sectors that one bitmap block of 1 MiB describes.
const CHUNK_SECTORS: u64 = 1 << 23;

/// What an entry of a payload block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The block was never written here: the parent answers, if there is one.
    NotPresent,
    /// Undefined, zero or unmapped: reads as zeroes and hides the parent. Space may still be set
    /// aside; 0 is none.
    Zero(u64),
    /// The block is in the file.
    Full(u64),
    /// Some sectors of the block are in the file, by the chunk's bitmap.
    Partial(u64),
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A payload block.
    Block(u64),
    /// The bitmap of a chunk.
    Bitmap(u64),
}

/// The shape of a BAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) place: ByteRange,
    pub(crate) virtual_size: u64,
    pub(crate) block: u64,
    pub(crate) sector: u64,
    pub(crate) differencing: bool,
}

impl Shape {
    /// Whether the region holds as many entries as the disk needs.
    pub(crate) fn new(place: ByteRange, metadata: &Metadata) -> Result<Self, FormatError> {
        let shape = Self {
            place,
            virtual_size: metadata.virtual_size,
            block: metadata.block,
            sector: metadata.logical_sector,
            differencing: metadata.parent.is_some(),
        };
        if shape.entries() * ENTRY > place.length {
            return Err(FormatError::Table(format!(
                "the BAT has {} bytes, and the disk needs {} entries",
                place.length,
                shape.entries()
            )));
        }
        Ok(shape)
    }

    /// Payload blocks of the disk.
    pub(crate) fn blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block)
    }

    /// Payload blocks of a chunk.
    pub(crate) fn chunk_ratio(&self) -> u64 {
        CHUNK_SECTORS * self.sector / self.block
    }

    /// Entries of the table: the last chunk has a bitmap only in a differencing image.
    pub(crate) fn entries(&self) -> u64 {
        let (blocks, ratio) = (self.blocks(), self.chunk_ratio());
        if self.differencing {
            blocks.div_ceil(ratio) * (ratio + 1)
        } else {
            blocks + blocks.saturating_sub(1) / ratio
        }
    }

    /// Where the entry of a payload block is in the table.
    pub(crate) fn entry_of(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio()
    }

    /// Bytes of a block that belong to the disk.
    pub(crate) fn used(&self, block: u64) -> u64 {
        self.virtual_size.saturating_sub(block * self.block).min(self.block)
    }

    /// Where the entry for the bitmap of a chunk is in the table.
    pub(crate) fn entry_of_bitmap(&self, chunk: u64) -> u64 {
        let stride = self.chunk_ratio() + 1;
        chunk * stride + stride - 1
    }

    /// Where in the file an entry is.
    pub(crate) fn place_of(&self, index: u64) -> u64 {
        self.place.offset + index * ENTRY
    }

    /// What the entry at a place of the table is about.
    pub(crate) fn subject(&self, index: u64) -> Subject {
        let stride = self.chunk_ratio() + 1;
        if index % stride == stride - 1 {
            Subject::Bitmap(index / stride)
        } else {
            Subject::Block(index - index / stride)
        }
    }

    /// Checks that a stored block is in the file, as far as it belongs to the disk, and that the
    /// log does not change it.
    pub(crate) fn check_stored(&self, tables: &Tables, block: u64, offset: u64) -> Result<(), FormatError> {
        inside(tables, "block", block, offset, self.used(block))?;
        let overlay = tables.overlay();
        if !overlay.is_empty() && overlay.touches(ByteRange { offset, length: self.block }) {
            return Err(FormatError::LogPayload(format!(
                "the log changes payload of block {block}; {CLOSE}"
            )));
        }
        Ok(())
    }

    /// Parses the entry of a payload block.
    pub(crate) fn payload(&self, block: u64, entry: u64) -> Result<Payload, FormatError> {
        let (state, offset) = (entry & 7, entry & !(MIB - 1));
        let bad = |what: &str| {
            Err(FormatError::Table(format!("the BAT entry {entry:#018x} of block {block} {what}")))
        };
        if entry & RESERVED != 0 {
            return bad("has reserved bits set");
        }
        match state {
            0 => Ok(Payload::NotPresent),
            1..=3 => Ok(Payload::Zero(offset)),
            6 => Ok(Payload::Full(offset)),
            7 if self.differencing => Ok(Payload::Partial(offset)),
            7 => bad("is partially present in an image without a parent"),
            _ => bad("has a state that does not exist"),
        }
    }
}

/// The part of the table that was read last: at most 1 MiB.
#[derive(Default)]
pub(crate) struct Window {
    first: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The entries from that one on, up to the end of a window; none behind the table.
    pub(crate) fn entries(
        &mut self,
        tables: &Tables,
        shape: &Shape,
        index: u64,
    ) -> Result<impl Iterator<Item = u64> + '_, FormatError> {
        let per_window = MAX_READ / ENTRY;
        let first = index - index % per_window;
        if self.bytes.is_empty() || self.first != first {
            let count = shape.entries().saturating_sub(first).min(per_window);
            self.bytes = tables.read(shape.place_of(first), count * ENTRY)?;
            self.first = first;
        }
        let skip = usize::try_from(index - first).expect("within a window");
        let (entries, _) = self.bytes.as_chunks();
        Ok(entries.iter().skip(skip).map(|entry| u64::from_le_bytes(*entry)))
    }
}

/// Returns where the bitmap of a chunk is, if there is one: in the file.
pub(crate) fn bitmap_in_file(tables: &Tables, chunk: u64, entry: u64) -> Result<Option<u64>, FormatError> {
    let offset = bitmap_offset(chunk, entry)?;
    if let Some(offset) = offset {
        inside(tables, "bitmap", chunk, offset, MIB)?;
    }
    Ok(offset)
}

fn inside(tables: &Tables, what: &str, number: u64, offset: u64, length: u64) -> Result<(), FormatError> {
    let file = tables.size();
    if offset.checked_add(length).is_none_or(|end| end > file) {
        return Err(FormatError::Truncated(format!(
            "{what} {number} is at {offset:#x} of the file, which ends at {file:#x}"
        )));
    }
    Ok(())
}

/// Returns where the bitmap of a chunk is, if there is one, by its entry.
fn bitmap_offset(chunk: u64, entry: u64) -> Result<Option<u64>, FormatError> {
    match (entry & RESERVED, entry & 7) {
        (0, 0) => Ok(None),
        (0, 6) => Ok(Some(entry & !(MIB - 1))),
        _ => Err(FormatError::Table(format!(
            "the BAT entry {entry:#018x} of the bitmap of chunk {chunk} is no such entry"
        ))),
    }
}
