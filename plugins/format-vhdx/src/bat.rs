//! The block allocation table ([MS-VHDX] 2.5): an entry for each payload block, and after each
//! chunk of them one for the bitmap of the chunk's sectors.

use imprint_plugin_sdk::types::ByteRange;

use crate::{
    error::VhdxError,
    header::MIB,
    metadata::Metadata,
    region::Regions,
    tables::{MAX_READ, Tables},
};

const ENTRY: u64 = 8;
/// Bits 3 to 19 of an entry.
const RESERVED: u64 = 0x000f_fff8;
/// Sectors that one bitmap block of 1 MiB describes.
const CHUNK_SECTORS: u64 = 1 << 23;
/// MiB of the largest file that is read; a bit each is 16 MiB.
const MAX_FILE_MIB: u64 = 1 << 27;

/// What an entry of a payload block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nobody wrote the block here: the parent answers, if there is one.
    NotPresent,
    /// Undefined, zero or unmapped: reads as zeroes and hides the parent. Space may still be set
    /// aside; 0 is none.
    Zero(u64),
    /// The block is in the file.
    Full(u64),
    /// Some sectors of the block are in the file, by the chunk's bitmap.
    Partial(u64),
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
    pub(crate) fn new(place: ByteRange, metadata: &Metadata) -> Result<Self, VhdxError> {
        let shape = Self {
            place,
            virtual_size: metadata.virtual_size,
            block: metadata.block,
            sector: metadata.logical_sector,
            differencing: metadata.parent.is_some(),
        };
        if shape.entries() * ENTRY > place.length {
            return Err(VhdxError::Table(format!(
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
        match self.differencing {
            true => blocks.div_ceil(ratio) * (ratio + 1),
            false => blocks + blocks.saturating_sub(1) / ratio,
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

    /// Understands the entry of a payload block.
    pub(crate) fn payload(&self, block: u64, entry: u64) -> Result<Payload, VhdxError> {
        let (state, offset) = (entry & 7, entry & !(MIB - 1));
        let bad = |what: &str| {
            Err(VhdxError::Table(format!("the BAT entry {entry:#018x} of block {block} {what}")))
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
    ) -> Result<impl Iterator<Item = u64> + '_, VhdxError> {
        let per_window = MAX_READ / ENTRY;
        let first = index - index % per_window;
        if self.bytes.is_empty() || self.first != first {
            let count = shape.entries().saturating_sub(first).min(per_window);
            self.bytes = tables.read(shape.place.offset + first * ENTRY, count * ENTRY)?;
            self.first = first;
        }
        let skip = usize::try_from(index - first).expect("within a window");
        let (entries, _) = self.bytes.as_chunks();
        Ok(entries.iter().skip(skip).map(|entry| u64::from_le_bytes(*entry)))
    }
}

/// Which MiB of the file are in use: a bit for each.
#[derive(Clone)]
pub(crate) struct Used {
    bits: Vec<u64>,
    /// MiB of the file; the last may be cut.
    mib: u64,
}

impl Used {
    /// Of a file where only the first MiB and the regions are used.
    fn new(file: u64, regions: &Regions) -> Result<Self, VhdxError> {
        let mib = file.div_ceil(MIB);
        if mib > MAX_FILE_MIB {
            return Err(VhdxError::TableSize(format!(
                "the file has {mib} MiB, and {MAX_FILE_MIB} are possible; the disk in it has at most 64 TiB"
            )));
        }
        let words = usize::try_from(mib.div_ceil(64)).expect("at most 2^21");
        let mut used = Self { bits: vec![0; words], mib };
        used.claim(0, MIB);
        for region in &regions.all {
            used.claim(region.offset, region.length);
        }
        Ok(used)
    }

    /// Marks the range as far as it lies in the file; whether none of it was marked before.
    pub(crate) fn claim(&mut self, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length).div_ceil(MIB).min(self.mib);
        let mut free = true;
        for mib in offset / MIB..end {
            let word = usize::try_from(mib / 64).ok().and_then(|word| self.bits.get_mut(word));
            let word = word.expect("the range was cut to the file");
            free &= *word >> (mib % 64) & 1 == 0;
            *word |= 1 << (mib % 64);
        }
        free
    }

    /// The next run of MiB that nobody uses, from that one on: first, and first behind it.
    pub(crate) fn next_free(&self, from: u64) -> Option<(u64, u64)> {
        let is_free = |mib: &u64| {
            let word = usize::try_from(mib / 64).ok().and_then(|word| self.bits.get(word));
            word.is_some_and(|word| word >> (mib % 64) & 1 == 0)
        };
        let first = (from..self.mib).find(is_free)?;
        let end = (first..self.mib).find(|mib| !is_free(mib)).unwrap_or(self.mib);
        Some((first, end))
    }
}

/// Looks at the whole table: what it names lies in the file, at whole MiB, and shares nothing with
/// anything else.
pub(crate) fn scan(tables: &Tables, shape: &Shape, regions: &Regions) -> Result<Used, VhdxError> {
    let mut scan = Scan { tables, shape, used: Used::new(tables.size(), regions)?, partial: false };
    let mut window = Window::default();
    let (entries, stride) = (shape.entries(), shape.chunk_ratio() + 1);
    let mut index = 0;
    while index < entries {
        let mut seen = 0;
        for entry in window.entries(tables, shape, index)? {
            let at = index + seen;
            if at % stride == stride - 1 {
                scan.bitmap(at / stride, entry)?;
            } else {
                scan.payload(at - at / stride, entry)?;
            }
            seen += 1;
        }
        index += seen;
    }
    Ok(scan.used)
}

struct Scan<'a> {
    tables: &'a Tables,
    shape: &'a Shape,
    used: Used,
    /// A block of the chunk is partially present.
    partial: bool,
}

impl Scan<'_> {
    fn payload(&mut self, block: u64, entry: u64) -> Result<(), VhdxError> {
        if block >= self.shape.blocks() {
            return Ok(());
        }
        let offset = match self.shape.payload(block, entry)? {
            Payload::NotPresent | Payload::Zero(_) => return Ok(()),
            Payload::Full(offset) => offset,
            Payload::Partial(offset) => {
                self.partial = true;
                offset
            }
        };
        self.claim("block", block, offset, self.shape.block, self.shape.used(block))?;
        let overlay = self.tables.overlay();
        if !overlay.is_empty() && overlay.touches(ByteRange { offset, length: self.shape.block }) {
            return Err(VhdxError::LogPayload(format!("the log changes payload of block {block}")));
        }
        Ok(())
    }

    /// The bitmap of a chunk. Images without a parent have none, and what stands there is ignored,
    /// as QEMU 8.0 and older left anything there.
    fn bitmap(&mut self, chunk: u64, entry: u64) -> Result<(), VhdxError> {
        let partial = std::mem::take(&mut self.partial);
        if !self.shape.differencing {
            return Ok(());
        }
        match bitmap_offset(chunk, entry)? {
            Some(offset) => self.claim("bitmap", chunk, offset, MIB, MIB),
            None if partial => Err(VhdxError::Table(format!(
                "chunk {chunk} has blocks that are partially present, and no bitmap of its sectors"
            ))),
            None => Ok(()),
        }
    }

    /// `needed` bytes must be in the file; `length` bytes must be of nobody else.
    fn claim(
        &mut self,
        what: &str,
        number: u64,
        offset: u64,
        length: u64,
        needed: u64,
    ) -> Result<(), VhdxError> {
        let file = self.tables.size();
        if offset.checked_add(needed).is_none_or(|end| end > file) {
            return Err(VhdxError::Truncated(format!(
                "{what} {number} is at {offset:#x} of the file, which ends at {file:#x}"
            )));
        }
        if !self.used.claim(offset, length) {
            return Err(VhdxError::Aliased(format!(
                "{what} {number} at {offset:#x} of the file shares bytes with something else"
            )));
        }
        Ok(())
    }
}

/// Where the bitmap of a chunk is, if there is one.
pub(crate) fn bitmap_offset(chunk: u64, entry: u64) -> Result<Option<u64>, VhdxError> {
    match (entry & RESERVED, entry & 7) {
        (0, 0) => Ok(None),
        (0, 6) => Ok(Some(entry & !(MIB - 1))),
        _ => Err(VhdxError::Table(format!(
            "the BAT entry {entry:#018x} of the bitmap of chunk {chunk} is no such entry"
        ))),
    }
}
