//! Where the image's own tables are, so that the host can refuse payload that lies in them.

use imprint_plugin_sdk::types::ByteRange;

use crate::{
    error::VhdError,
    image::Image,
    wire::{to_u64, to_usize},
};

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 8192;

/// How far the list was handed out: the number of the next bitmap, and the block from which on it
/// is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    bitmaps: u64,
    block: u64,
}

impl Image {
    /// The ranges of footer, its copy, header, table, locators and all sector bitmaps, from the
    /// `start`th on; an empty answer ends the list.
    pub(crate) fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, VhdError> {
        let max = to_usize(max.min(MAX_RANGES).into())?;
        let mut ranges: Vec<ByteRange> =
            self.tables.iter().skip(to_usize(start)?).take(max).copied().collect();
        let Some(blocks) = &mut self.blocks else { return Ok(ranges) };
        let whole = blocks.bat.bitmap_size() + blocks.bat.block_size();
        let wanted = start.saturating_sub(to_u64(self.tables.len()));
        let mut listed = self.listed;
        if listed.bitmaps > wanted {
            listed = Listed::default();
        }
        while ranges.len() < max {
            let Some(block) = blocks.next(self.blob.as_ref(), listed.block)? else {
                listed.block = blocks.bat.blocks();
                break;
            };
            if listed.bitmaps >= wanted {
                ranges.push(block.bitmap);
            }
            // Of the last one of a disk, less may be there.
            if listed.bitmaps.saturating_mul(whole) > blocks.data_end {
                return Err(VhdError::Aliased(
                    "the block allocation table names more blocks than the file has room for".to_owned(),
                ));
            }
            listed = Listed { bitmaps: listed.bitmaps + 1, block: block.index + 1 };
        }
        self.listed = listed;
        Ok(ranges)
    }
}
