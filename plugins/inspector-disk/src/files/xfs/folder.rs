//! Folders: short ones in their inode, others in blocks of entries. The index of a large folder is
//! not used: all of its blocks are looked at, up to a bound.

use imprint_plugin_sdk::error::Result;

use super::{
    Xfs,
    inode::{Fork, Inode},
};
use crate::bytes::{be16, be32, be64, budget, byte, corrupt, is_at, to_usize};

/// Entries are in the blocks of a folder below this offset; behind it is the index.
const INDEX: u64 = 32 << 30;
/// The most blocks of a folder that are looked at.
const MAX_BLOCKS: usize = 1024;
/// The mark of a hole between entries.
const FREE: u16 = 0xffff;

impl Xfs {
    /// Returns the number of the inode with a name in a folder; `None` where there is none.
    pub(super) fn lookup(&self, folder: &Inode, name: &[u8]) -> Result<Option<u64>> {
        if folder.fork == Fork::Inline {
            return Ok(self.in_inode(&folder.bytes, name));
        }
        let extents = self.extents(folder)?;
        let block = self.layout.block << self.layout.directory_bits;
        let end = folder.size.min(INDEX).div_ceil(block);
        let mut looked = 0;
        for extent in &extents {
            let first = extent.first >> self.layout.directory_bits;
            let last = (extent.first + extent.count).div_ceil(1 << self.layout.directory_bits).min(end);
            for index in first..last {
                looked += 1;
                if looked > MAX_BLOCKS {
                    return Err(budget(format!("a folder has more than {MAX_BLOCKS} blocks")));
                }
                // One that spans extents is looked at once.
                if index << self.layout.directory_bits < extent.first {
                    continue;
                }
                let bytes = self.folder_block(&extents, index)?;
                if let Some(number) = self.in_block(&bytes, name)? {
                    return Ok(Some(number));
                }
            }
        }
        Ok(None)
    }

    /// Reads a block of a folder, which is one or several blocks of the file system.
    fn folder_block(&self, extents: &[super::extents::Extent], index: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in 0..1_u64 << self.layout.directory_bits {
            let block = (index << self.layout.directory_bits) + part;
            match self.place(extents, block)? {
                Some(at) => bytes.extend(self.window.bytes(at, to_usize(self.layout.block))?),
                None => bytes.resize(bytes.len().saturating_add(to_usize(self.layout.block)), 0),
            }
        }
        Ok(bytes)
    }

    /// Finds a name in a folder that is in its inode.
    fn in_inode(&self, fork: &[u8], name: &[u8]) -> Option<u64> {
        let wide = byte(fork, 1) > 0;
        let number = |at: usize| if wide { be64(fork, at) } else { u64::from(be32(fork, at)) };
        let number_bytes = if wide { 8 } else { 4 };
        let mut at = 2 + number_bytes;
        for _ in 0..byte(fork, 0) {
            let length = usize::from(byte(fork, at));
            let found = fork.get(at + 3..at + 3 + length)?;
            let behind = at + 3 + length + usize::from(self.layout.typed_names);
            if found == name {
                fork.get(behind..behind + number_bytes)?;
                return Some(number(behind));
            }
            at = behind + number_bytes;
        }
        None
    }

    /// Finds a name in a block of entries.
    fn in_block(&self, block: &[u8], name: &[u8]) -> Result<Option<u64>> {
        let (mut at, end) = if is_at(block, 0, b"XD2B") || is_at(block, 0, b"XDB3") {
            // A folder of one block has its index at the end: eight bytes a name, and two counts.
            let count = to_usize(be32(block, block.len().saturating_sub(8)));
            let index = count.saturating_mul(8).saturating_add(8);
            (if is_at(block, 0, b"XDB3") { 64 } else { 16 }, block.len().saturating_sub(index))
        } else if is_at(block, 0, b"XD2D") {
            (16, block.len())
        } else if is_at(block, 0, b"XDD3") {
            (64, block.len())
        } else {
            return Err(corrupt("a folder has a block without entries"));
        };
        while at + 16 <= end {
            if be16(block, at) == FREE {
                match usize::from(be16(block, at + 2)) {
                    0 => break,
                    length => at += length,
                }
                continue;
            }
            let length = usize::from(byte(block, at + 8));
            if block.get(at + 9..at + 9 + length) == Some(name) {
                return Ok(Some(be64(block, at)));
            }
            // The number, the length, the name, perhaps the type, and the entry's own offset, up to
            // a multiple of eight.
            at += (9 + length + usize::from(self.layout.typed_names) + 2).next_multiple_of(8);
        }
        Ok(None)
    }
}
