//! Inodes.

use imprint_plugin_sdk::error::Result;

use super::Xfs;
use crate::bytes::{be16, be32, be64, byte, corrupt, is_at, to_usize};

/// The bytes of an inode in front of its fork, by the version of the inode.
const OLD_HEAD: usize = 100;
const HEAD: usize = 176;

/// The flag of an inode whose number of extents is in a wide field.
const WIDE_COUNTS: u64 = 0x10;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    File,
    Folder,
    Link,
    Other,
}

/// How the content is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fork {
    /// In the inode.
    Inline,
    /// In extents, whose list is in the inode.
    Extents,
    /// In extents, whose list is a tree.
    Tree,
}

/// An inode.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) sort: Sort,
    pub(super) size: u64,
    pub(super) fork: Fork,
    /// The number of extents.
    pub(super) extents: u64,
    /// The bytes of the fork.
    pub(super) bytes: Vec<u8>,
}

impl Inode {
    /// Returns whether the content is in the inode.
    pub(super) fn is_inline(&self) -> bool {
        self.fork == Fork::Inline
    }
}

impl Xfs {
    /// Reads an inode.
    pub(super) fn inode(&self, number: u64) -> Result<Inode> {
        let layout = &self.layout;
        let slot = number & ((1 << layout.inode_bits) - 1);
        let block = self.block_offset(number >> layout.inode_bits)?;
        let bytes = self.window.bytes(block + slot * layout.inode, to_usize(layout.inode))?;
        if !is_at(&bytes, 0, b"IN") {
            return Err(corrupt(format!("there is no inode {number}")));
        }
        let head = if byte(&bytes, 4) >= 3 { HEAD } else { OLD_HEAD };
        let fork = match byte(&bytes, 5) {
            1 => Fork::Inline,
            2 => Fork::Extents,
            3 => Fork::Tree,
            // A device.
            0 => Fork::Inline,
            other => return Err(corrupt(format!("inode {number} stores its content in the way {other}"))),
        };
        let sort = match be16(&bytes, 2) & 0xf000 {
            0x8000 => Sort::File,
            0x4000 => Sort::Folder,
            0xa000 => Sort::Link,
            _ => Sort::Other,
        };
        // Attributes begin behind the fork, in units of eight bytes.
        let attributes = usize::from(byte(&bytes, 82)) * 8;
        let end = if attributes == 0 { bytes.len() } else { head.saturating_add(attributes) };
        let wide = byte(&bytes, 4) >= 3 && be64(&bytes, 120) & WIDE_COUNTS != 0;
        let extents = if wide { be64(&bytes, 24) } else { u64::from(be32(&bytes, 76)) };
        let bytes_of_fork = bytes.get(head..end.min(bytes.len())).unwrap_or_default().to_vec();
        Ok(Inode { sort, size: be64(&bytes, 56), fork, extents, bytes: bytes_of_fork })
    }

    /// Returns the offset of a block, whose number has that of its group in the upper bits.
    pub(super) fn block_offset(&self, number: u64) -> Result<u64> {
        let layout = &self.layout;
        let (group, block) = (number >> layout.group_bits, number & ((1 << layout.group_bits) - 1));
        if group >= layout.groups || block >= layout.group_blocks {
            return Err(corrupt(format!("there is no block {number}")));
        }
        Ok((group * layout.group_blocks + block) * layout.block)
    }
}
