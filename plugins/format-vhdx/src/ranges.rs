//! Where the image's own tables are, so that the host can refuse payload that lies in them.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{le64, to_u64, to_usize},
    },
    types::ByteRange,
};

use crate::{
    bat::{Shape, bitmap_in_file},
    header::MIB,
    region::Regions,
    tables::Tables,
};

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 4096;

/// How far the list was handed out: the bitmaps so far, and the chunk from which on the next one is
/// looked for.
#[derive(Default)]
pub(crate) struct Listing {
    bitmaps: u64,
    chunk: u64,
}

impl Listing {
    /// Returns the first MiB, the log and the regions; then the bitmaps of a differencing image, at
    /// most one for each chunk of 4 GiB (or 32 GiB with sectors of 4 KiB).
    pub(crate) fn page(
        &mut self,
        tables: &Tables,
        shape: &Shape,
        regions: &Regions,
        start: u64,
        max: u32,
    ) -> Result<Vec<ByteRange>, FormatError> {
        let max = to_usize(max.clamp(1, MAX_RANGES).into())?;
        let fixed = std::iter::once(ByteRange { offset: 0, length: MIB }).chain(regions.all.iter().copied());
        let mut ranges: Vec<ByteRange> = fixed.skip(to_usize(start)?).take(max).collect();
        if !shape.differencing {
            return Ok(ranges);
        }
        let wanted = start.saturating_sub(to_u64(regions.all.len()) + 1);
        if self.bitmaps > wanted {
            *self = Self::default();
        }
        let chunks = shape.entries() / (shape.chunk_ratio() + 1);
        while ranges.len() < max && self.chunk < chunks {
            let chunk = self.chunk;
            // One entry of a chunk: the table itself is some 32 KiB a chunk.
            let entry = tables.read(shape.place_of(shape.entry_of_bitmap(chunk)), 8)?;
            self.chunk += 1;
            let Some(offset) = bitmap_in_file(tables, chunk, le64(&entry, 0).unwrap_or(0))? else { continue };
            if self.bitmaps >= wanted {
                ranges.push(ByteRange { offset, length: MIB });
            }
            self.bitmaps += 1;
        }
        Ok(ranges)
    }
}
