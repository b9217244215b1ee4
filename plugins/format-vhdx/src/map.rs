//! The map of the disk: which virtual bytes are where in the file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::format::{MapBuilder, Page};

use crate::{
    bat::{Payload, bitmap_offset},
    error::VhdxError,
    image::Image,
    tables::Tables,
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
/// Entries, and bytes of bitmaps, that one call looks at.
const BUDGET: u64 = 4 << 20;
/// Bitmaps are read in pieces of this many bytes.
const PIECE: u64 = 64 << 10;

/// The part of a sector bitmap that was read last.
#[derive(Default)]
pub(crate) struct Bitmap {
    at: u64,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// The byte of a bitmap at that place of the file.
    fn byte(&mut self, tables: &Tables, at: u64) -> Result<u8, VhdxError> {
        let start = at - at % PIECE;
        if self.bytes.is_empty() || self.at != start {
            self.bytes = tables.read(start, PIECE)?;
            self.at = start;
        }
        Ok(self.bytes[usize::try_from(at - start).expect("within a piece")])
    }
}

impl Image {
    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded part of the tables
    /// a call.
    pub(crate) fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page, VhdxError> {
        let end = end.min(self.shape.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let mut budget = BUDGET;
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && !map.is_full() && budget > 0 {
            let shape = self.shape;
            let first = map.cursor() / shape.block;
            // Up to the end of the chunk: a bitmap's entry follows.
            let rest = shape.chunk_ratio() - first % shape.chunk_ratio();
            let entries = self.window.entries(&self.tables, &shape, shape.entry_of(first))?;
            let entries: Vec<u64> =
                entries.take(usize::try_from(rest.min(4096)).expect("at most 4096")).collect();
            for (block, entry) in (first..).zip(entries) {
                budget = budget.saturating_sub(1);
                let into = map.cursor() % shape.block;
                let rest = shape.block - into;
                flow = match shape.payload(block, entry)? {
                    Payload::NotPresent => map.hole(rest)?,
                    Payload::Zero(_) => map.zero(rest)?,
                    Payload::Full(offset) => map.data(rest, 0, offset + into)?,
                    Payload::Partial(offset) => self.partial(&mut map, block, offset, &mut budget)?,
                };
                if flow.is_break() {
                    break;
                }
            }
        }
        Ok(map.finish())
    }

    /// Adds what is left of a block of which some sectors are here and the others in the parent.
    /// The lowest bit of a byte is its first sector.
    fn partial(
        &mut self,
        map: &mut MapBuilder,
        block: u64,
        offset: u64,
        budget: &mut u64,
    ) -> Result<ControlFlow<()>, VhdxError> {
        let shape = self.shape;
        let (chunk, ratio) = (block / shape.chunk_ratio(), shape.chunk_ratio());
        let index = chunk * (ratio + 1) + ratio;
        let entry = self.window.entries(&self.tables, &shape, index)?.next().unwrap_or(0);
        let bitmap = bitmap_offset(chunk, entry)?
            .ok_or_else(|| VhdxError::Table(format!("chunk {chunk} has no bitmap of its sectors")))?;
        let start = block * shape.block;
        let first_bit = block % ratio * (shape.block / shape.sector);
        while map.cursor() < start + shape.used(block) {
            let into = map.cursor() - start;
            let bit = first_bit + into / shape.sector;
            let byte = self.bitmap.byte(&self.tables, bitmap + bit / 8)?;
            // As many sectors of this byte as are of one kind.
            let ahead = byte >> (bit % 8);
            let here = ahead & 1 == 1;
            let same = if here { ahead.trailing_ones() } else { ahead.trailing_zeros() };
            let same = u64::from(same).min(8 - bit % 8);
            let length = (same * shape.sector - into % shape.sector).min(start + shape.block - map.cursor());
            *budget = budget.saturating_sub(1);
            let flow = if here { map.data(length, 0, offset + into)? } else { map.hole(length)? };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(if map.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}
