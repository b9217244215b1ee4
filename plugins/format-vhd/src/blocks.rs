//! What a disk made of blocks has.

use imprint_plugin_sdk::{format::FormatError, host::Blob};

use crate::{
    bat::{Bat, Block},
    bitmap::Bitmaps,
    header::Header,
};

/// Header, table and bitmaps of a dynamic or differencing disk.
pub(crate) struct Blocks {
    pub(crate) header: Header,
    pub(crate) bat: Bat,
    pub(crate) bitmaps: Bitmaps,
    /// Blocks end here.
    pub(crate) data_end: u64,
}

impl Blocks {
    /// Returns the first block of the disk that exists from `index` on; the whole table is looked
    /// at.
    pub(crate) fn next(&mut self, blob: &dyn Blob, index: u64) -> Result<Option<Block>, FormatError> {
        let end = self.bat.blocks();
        self.bat.next_block(blob, index, end)
    }

    /// Bytes of a block in the file, with its bitmap.
    pub(crate) fn whole(&self) -> u64 {
        self.bat.bitmap_size() + self.bat.block_size()
    }
}
