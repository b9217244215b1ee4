//! The extents of a file: where its blocks are.

use imprint_plugin_sdk::error::Result;

use super::{
    Xfs,
    inode::{Fork, Inode},
};
use crate::bytes::{be16, be64, budget, corrupt, is_at, to_u64, to_usize};

/// The bytes of an extent, and of a key or a pointer of the tree.
const EXTENT: usize = 16;
const KEY: usize = 8;
/// The deepest tree, and the most extents, that are followed.
const MAX_DEPTH: u16 = 9;
const MAX_EXTENTS: usize = 16_384;

/// A run of blocks of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// The first block of the file.
    pub(super) first: u64,
    /// The number of the first block on the disk.
    block: u64,
    pub(super) count: u64,
    /// Whether it reads as zeroes.
    unwritten: bool,
}

fn extent(bytes: &[u8]) -> Extent {
    let (high, low) = (be64(bytes, 0), be64(bytes, 8));
    Extent {
        unwritten: high >> 63 == 1,
        first: (high >> 9) & ((1 << 54) - 1),
        block: ((high & 0x1ff) << 43) | (low >> 21),
        count: low & ((1 << 21) - 1),
    }
}

impl Xfs {
    /// Returns the extents of a file, in ascending order.
    pub(super) fn extents(&self, inode: &Inode) -> Result<Vec<Extent>> {
        if inode.extents > to_u64(MAX_EXTENTS) {
            return Err(budget(format!("a file has {} extents", inode.extents)));
        }
        match inode.fork {
            Fork::Inline => Ok(Vec::new()),
            Fork::Extents => {
                let list = inode.bytes.chunks_exact(EXTENT).take(to_usize(inode.extents));
                Ok(list.map(extent).collect())
            }
            Fork::Tree => {
                let mut found = Vec::new();
                let (level, count) = (be16(&inode.bytes, 0), usize::from(be16(&inode.bytes, 2)));
                // The root has no more than its level and count in front, and room for as many keys
                // as pointers.
                let room = inode.bytes.len().saturating_sub(4) / (2 * KEY);
                if level == 0 || level > MAX_DEPTH || count > room {
                    return Err(corrupt("the root of a tree of extents is damaged"));
                }
                for child in 0..count {
                    let pointer = be64(&inode.bytes, 4 + room * KEY + child * KEY);
                    self.walk(pointer, level - 1, &mut found)?;
                }
                Ok(found)
            }
        }
    }

    fn walk(&self, block: u64, level: u16, found: &mut Vec<Extent>) -> Result<()> {
        let node = self.window.bytes(self.block_offset(block)?, to_usize(self.layout.block))?;
        let head = if is_at(&node, 0, b"BMA3") {
            72
        } else if is_at(&node, 0, b"BMAP") {
            24
        } else {
            return Err(corrupt("a tree of extents leads to what is no part of it"));
        };
        let count = usize::from(be16(&node, 6));
        if be16(&node, 4) != level || count > node.len() / KEY {
            return Err(corrupt("a tree of extents has a node at another level"));
        }
        if level == 0 {
            let list = node.get(head..).unwrap_or_default().chunks_exact(EXTENT).take(count);
            found.extend(list.map(extent));
            if found.len() > MAX_EXTENTS {
                return Err(budget(format!("a file has more than {MAX_EXTENTS} extents")));
            }
            return Ok(());
        }
        let room = node.len().saturating_sub(head) / (2 * KEY);
        for child in 0..count.min(room) {
            self.walk(be64(&node, head + room * KEY + child * KEY), level - 1, found)?;
        }
        Ok(())
    }

    /// Returns the first `length` bytes of what an inode stores.
    pub(super) fn content(&self, inode: &Inode, length: usize) -> Result<Vec<u8>> {
        if inode.is_inline() {
            return Ok(inode.bytes.get(..length.min(inode.bytes.len())).unwrap_or_default().to_vec());
        }
        let mut content = vec![0; length];
        for extent in self.extents(inode)? {
            let from = to_usize(extent.first.saturating_mul(self.layout.block));
            if extent.unwritten || from >= length {
                continue;
            }
            let bytes = to_usize(extent.count.saturating_mul(self.layout.block));
            let to = from.saturating_add(bytes).min(length);
            if let Some(part) = content.get_mut(from..to) {
                self.window.read(self.block_offset(extent.block)?, part)?;
            }
        }
        Ok(content)
    }

    /// Returns the offset on the disk of a block of a file; `None` for a hole.
    pub(super) fn place(&self, extents: &[Extent], block: u64) -> Result<Option<u64>> {
        let holds = |extent: &&Extent| block.checked_sub(extent.first).is_some_and(|at| at < extent.count);
        let Some(extent) = extents.iter().find(holds).filter(|extent| !extent.unwritten) else {
            return Ok(None);
        };
        let first = self.block_offset(extent.block)?;
        Ok(Some(first.saturating_add((block - extent.first).saturating_mul(self.layout.block))))
    }
}
