//! Where the image's own tables are, so that the host can refuse payload that lies in them.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::blocks::Blocks;

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 8192;

/// How far the list was handed out: the number of the next bitmap, and the block from which on it
/// is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    bitmaps: u64,
    block: u64,
}

impl Listing {
    /// Returns the ranges of footer, its copy, header, table and locators (`tables`) and of all
    /// sector bitmaps, from the `start`th on; an empty answer ends the list.
    pub(crate) fn page(
        &mut self,
        blob: &dyn Blob,
        tables: &[ByteRange],
        blocks: Option<&mut Blocks>,
        start: u64,
        max: u32,
    ) -> Result<Vec<ByteRange>, FormatError> {
        let max = to_usize(max.min(MAX_RANGES).into())?;
        let mut ranges: Vec<ByteRange> = tables.iter().skip(to_usize(start)?).take(max).copied().collect();
        let Some(blocks) = blocks else { return Ok(ranges) };
        let whole = blocks.whole();
        let wanted = start.saturating_sub(to_u64(tables.len()));
        let mut listed = *self;
        if listed.bitmaps > wanted {
            listed = Self::default();
        }
        while ranges.len() < max {
            let Some(block) = blocks.next(blob, listed.block)? else {
                listed.block = blocks.bat.blocks();
                break;
            };
            if listed.bitmaps >= wanted {
                ranges.push(block.bitmap);
            }
            // Of the last one of a disk, less may be there.
            if listed.bitmaps.saturating_mul(whole) > blocks.data_end {
                return Err(FormatError::Aliased(
                    "the block allocation table names more blocks than the file has room for".to_owned(),
                ));
            }
            listed = Self { bitmaps: listed.bitmaps + 1, block: block.index + 1 };
        }
        *self = listed;
        Ok(ranges)
    }
}
