//! The block allocation table, read a page at a time: that of a disk of 2040 GiB has up to 16 MiB.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{overlap, read_exact},
        wire::{be32, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    geometry::SECTOR,
    header::{Header, NO_BLOCK},
};

/// Bytes of a page.
const PAGE: u64 = 256 << 10;
const ENTRY: u64 = 4;
/// The sector numbers of a file are 32 bits wide.
const MAX_FILE: u64 = (1 << 32) * SECTOR;

/// The table of an open image, with the page that was read last.
pub(crate) struct Bat {
    table: ByteRange,
    /// Entries that the disk has blocks for.
    blocks: u64,
    block_size: u64,
    bitmap_size: u64,
    virtual_size: u64,
    /// Blocks end here at the latest: at the footer.
    data_end: u64,
    /// The image's tables, which no block may touch.
    fixed: Vec<ByteRange>,
    page: (u64, Vec<u8>),
}

/// A block that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Which of the disk's blocks.
    pub(crate) index: u64,
    /// Where its sector bitmap is in the file; the payload follows.
    pub(crate) bitmap: ByteRange,
}

impl Block {
    /// Where its payload begins in the file.
    pub(crate) fn payload(self) -> u64 {
        self.bitmap.offset + self.bitmap.length
    }
}

impl Bat {
    pub(crate) fn new(header: &Header, virtual_size: u64, data_end: u64, fixed: Vec<ByteRange>) -> Self {
        let block_size = u64::from(header.block_size);
        Self {
            table: header.table(),
            blocks: virtual_size.div_ceil(block_size),
            block_size,
            bitmap_size: header.bitmap_size(),
            virtual_size,
            data_end,
            fixed,
            page: (u64::MAX, Vec::new()),
        }
    }

    /// Blocks of the disk, existing or not.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn block_size(&self) -> u64 {
        self.block_size
    }

    pub(crate) fn bitmap_size(&self) -> u64 {
        self.bitmap_size
    }

    /// What the table says, unchecked. `index` is below the table's entries.
    pub(crate) fn entry(&mut self, blob: &dyn Blob, index: u64) -> Result<u32, FormatError> {
        let at = index * ENTRY;
        let page = at / PAGE;
        if self.page.0 != page {
            let start = page * PAGE;
            let length = PAGE.min(self.table.length.saturating_sub(start));
            self.page = (page, read_exact(blob, self.table.offset + start, length)?);
        }
        be32(&self.page.1, to_usize(at % PAGE)?)
            .ok_or_else(|| FormatError::Request(format!("the block allocation table has no entry {index}")))
    }

    /// The block, if it exists, and is inside the file and outside of the tables.
    pub(crate) fn block(&mut self, blob: &dyn Blob, index: u64) -> Result<Option<Block>, FormatError> {
        match self.entry(blob, index)? {
            NO_BLOCK => Ok(None),
            sector => self.place(index, sector).map(Some),
        }
    }

    /// The first existing block from `index` on, below `end`.
    pub(crate) fn next_block(
        &mut self,
        blob: &dyn Blob,
        index: u64,
        end: u64,
    ) -> Result<Option<Block>, FormatError> {
        for index in index..end.min(self.blocks) {
            if let Some(block) = self.block(blob, index)? {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Checks where an entry says that the block is. Of the disk's last block, only what the disk
    /// has must be there.
    pub(crate) fn place(&self, index: u64, sector: u32) -> Result<Block, FormatError> {
        let offset = u64::from(sector) * SECTOR;
        if offset + self.bitmap_size + self.block_size > MAX_FILE {
            return Err(FormatError::Table(format!(
                "the entry {index} of the block allocation table is {sector:#010x}, where no block can be"
            )));
        }
        let used = self.block_size.min(self.virtual_size.saturating_sub(index * self.block_size));
        let whole = ByteRange { offset, length: self.bitmap_size + used };
        if let Some(table) = self.fixed.iter().find(|table| overlap(**table, whole)) {
            // At the end of the file there is nothing but the footer.
            if table.offset < self.data_end {
                return Err(FormatError::Aliased(format!(
                    "the block {index} at {offset:#x} is in the image's own tables"
                )));
            }
        }
        if whole.offset + whole.length > self.data_end {
            return Err(FormatError::Truncated(format!(
                "the block {index} ends at {:#x} of the file, and there is room for blocks up to {:#x}",
                whole.offset + whole.length,
                self.data_end
            )));
        }
        Ok(Block { index, bitmap: ByteRange { offset, length: self.bitmap_size } })
    }
}
