//! The map of the disk: which virtual bytes are where in the file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::format::{Budget, FormatError, MapBuilder, Page};

use crate::{
    bat::{Payload, Shape, Window, bitmap_in_file},
    tables::Tables,
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
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
    fn byte(&mut self, tables: &Tables, at: u64) -> Result<u8, FormatError> {
        let start = at - at % PIECE;
        if self.bytes.is_empty() || self.at != start {
            self.bytes = tables.read(start, PIECE)?;
            self.at = start;
        }
        Ok(self.bytes[usize::try_from(at - start).expect("within a piece")])
    }
}

/// What reads the map of an open image.
#[derive(Default)]
pub(crate) struct Map {
    window: Window,
    bitmap: Bitmap,
}

impl Map {
    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded part of the tables
    /// a call. Whether two blocks share bytes is seen only over the whole map: that is the host's
    /// check.
    pub(crate) fn page(
        &mut self,
        tables: &Tables,
        shape: &Shape,
        start: u64,
        end: u64,
        max: u32,
    ) -> Result<Page, FormatError> {
        let end = end.min(shape.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let mut budget = Budget::of_a_call();
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && !map.is_full() && budget.is_left() {
            let first = map.cursor() / shape.block;
            // Up to the end of the chunk: a bitmap's entry follows.
            let rest = shape.chunk_ratio() - first % shape.chunk_ratio();
            let entries = self.window.entries(tables, shape, shape.entry_of(first))?;
            let entries: Vec<u64> =
                entries.take(usize::try_from(rest.min(4096)).expect("at most 4096")).collect();
            for (block, entry) in (first..).zip(entries) {
                budget.spend(1);
                let into = map.cursor() % shape.block;
                let rest = shape.block - into;
                flow = match shape.payload(block, entry)? {
                    Payload::NotPresent => map.hole(rest)?,
                    Payload::Zero(_) => map.zero(rest)?,
                    Payload::Full(offset) => {
                        shape.check_stored(tables, block, offset)?;
                        map.data(rest, 0, offset + into)?
                    }
                    Payload::Partial(offset) => {
                        shape.check_stored(tables, block, offset)?;
                        self.partial(tables, shape, &mut map, (block, offset), &mut budget)?
                    }
                };
                if flow.is_break() {
                    break;
                }
            }
        }
        Ok(map.finish())
    }

    /// Adds what is left of a block, given with its place, of which some sectors are here and the
    /// others in the parent. The lowest bit of a byte is its first sector.
    fn partial(
        &mut self,
        tables: &Tables,
        shape: &Shape,
        map: &mut MapBuilder,
        (block, offset): (u64, u64),
        budget: &mut Budget,
    ) -> Result<ControlFlow<()>, FormatError> {
        let (chunk, ratio) = (block / shape.chunk_ratio(), shape.chunk_ratio());
        let entry = self.window.entries(tables, shape, shape.entry_of_bitmap(chunk))?.next().unwrap_or(0);
        let bitmap = bitmap_in_file(tables, chunk, entry)?
            .ok_or_else(|| FormatError::Table(format!("chunk {chunk} has no bitmap of its sectors")))?;
        let start = block * shape.block;
        let first_bit = block % ratio * (shape.block / shape.sector);
        while map.cursor() < start + shape.used(block) {
            let into = map.cursor() - start;
            let bit = first_bit + into / shape.sector;
            let byte = self.bitmap.byte(tables, bitmap + bit / 8)?;
            // As many sectors of this byte as are of one kind.
            let ahead = byte >> (bit % 8);
            let here = ahead & 1 == 1;
            let same = if here { ahead.trailing_ones() } else { ahead.trailing_zeros() };
            let same = u64::from(same).min(8 - bit % 8);
            let length = (same * shape.sector - into % shape.sector).min(start + shape.block - map.cursor());
            budget.spend(2);
            let flow = if here { map.data(length, 0, offset + into)? } else { map.hole(length)? };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(if map.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}
