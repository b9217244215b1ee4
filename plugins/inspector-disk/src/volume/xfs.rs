//! XFS, by its superblock and the free space of its last group.

use imprint_plugin_sdk::error::Result;

use super::{Content, Kind, Volume};
use crate::{
    bytes::{be16, be32, be64, byte, corrupt, is_at, text, to_usize, uuid},
    window::Window,
};

/// The deepest tree of free space that is followed: those of real groups have three levels.
const MAX_DEPTH: u32 = 8;

/// The numbers of a superblock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The bytes of a block.
    pub(crate) block: u64,
    pub(crate) blocks: u64,
    /// The blocks of a group, and the bits that a number inside of a group has.
    pub(crate) group_blocks: u64,
    pub(crate) group_bits: u8,
    pub(crate) groups: u64,
    /// The bytes of an inode, and the bits that count those of a block.
    pub(crate) inode: u64,
    pub(crate) inode_bits: u8,
    pub(crate) root: u64,
    /// The blocks of a directory block, as a power of two.
    pub(crate) directory_bits: u8,
    /// The version of the format: 4, or 5 with checksums.
    pub(crate) version: u16,
    /// Whether names in directories are followed by the type of the file.
    pub(crate) typed_names: bool,
    sector: u64,
    free: u64,
}

/// Recognises XFS.
pub(super) fn recognise(window: &Window, head: &[u8]) -> Option<Volume> {
    if !is_at(head, 0, b"XFSB") {
        return None;
    }
    let mut volume = Volume::new("xfs", Content::Files(Kind::Xfs));
    volume.found.uuid = uuid(head, 32);
    volume.found.label = text(head, 108, 12);
    match layout(window) {
        Ok(layout) => {
            volume.found.size = layout.blocks.checked_mul(layout.block);
            let used = layout.blocks.checked_sub(layout.free);
            volume.found.used = used.map(|used| used.saturating_mul(layout.block));
            match layout.used_until(window) {
                Ok(until) => volume.found.used_until = Some(until),
                Err(error) => volume.failed = Some(error),
            }
        }
        Err(error) => volume.content = Content::Closed(error),
    }
    Some(volume)
}

/// Reads and checks the superblock.
pub(crate) fn layout(window: &Window) -> Result<Layout> {
    let head = window.bytes(0, 512)?;
    let version = be16(&head, 100) & 0xf;
    // The second set of features of version 4, and the incompatible ones of version 5.
    let (more, incompatible) = (be32(&head, 200), be32(&head, 216));
    let layout = Layout {
        block: u64::from(be32(&head, 4)),
        blocks: be64(&head, 8),
        group_blocks: u64::from(be32(&head, 84)),
        group_bits: byte(&head, 124),
        groups: u64::from(be32(&head, 88)),
        inode: u64::from(be16(&head, 104)),
        inode_bits: byte(&head, 123),
        root: be64(&head, 56),
        directory_bits: byte(&head, 192),
        version,
        typed_names: if version == 5 { incompatible & 1 != 0 } else { more & 0x200 != 0 },
        sector: u64::from(be16(&head, 102)),
        free: be64(&head, 144),
    };
    layout.check(window)?;
    Ok(layout)
}

impl Layout {
    /// The bytes in front of the text of a symbolic link in a block.
    pub(crate) fn link_header(&self) -> u64 {
        if self.version == 5 { 56 } else { 0 }
    }

    fn check(&self, window: &Window) -> Result<()> {
        if !matches!(self.version, 4 | 5) {
            return Err(crate::bytes::unsupported(format!("XFS of version {} is not read", self.version)));
        }
        let powers = self.block.is_power_of_two() && (512..=65536).contains(&self.block);
        let inodes = self.inode.is_power_of_two() && (256..=2048).contains(&self.inode);
        let counts = self.inode_bits <= 8 && self.inode << self.inode_bits == self.block;
        if !powers || !inodes || !counts || self.directory_bits > 7 || self.sector < 512 {
            return Err(corrupt("the superblock has blocks or inodes of an impossible size"));
        }
        let size = self.blocks.checked_mul(self.block);
        if size.is_none_or(|size| size > window.length()) || self.free > self.blocks {
            let text = format!(
                "the superblock says that it has {} blocks of {} bytes, and there are {} bytes",
                self.blocks,
                self.block,
                window.length()
            );
            return Err(corrupt(text));
        }
        let bits = self.group_bits;
        if self.group_blocks == 0 || bits > 31 || self.group_blocks > 1 << bits {
            return Err(corrupt("the superblock has groups of an impossible size"));
        }
        if self.groups != self.blocks.div_ceil(self.group_blocks) {
            return Err(corrupt("the superblock has another number of groups than it has blocks for"));
        }
        Ok(())
    }

    /// Returns the end of the last block in use: the rightmost record of the tree of free space of
    /// the last group tells whether its end is free.
    fn used_until(&self, window: &Window) -> Result<u64> {
        let group = self.groups.saturating_sub(1);
        let start = group * self.group_blocks;
        let length = self.blocks - start;
        let header = window.bytes(start * self.block + self.sector, 512)?;
        if !is_at(&header, 0, b"XAGF") {
            return Err(corrupt("the last group has no header of its free space"));
        }
        let (mut block, mut level) = (u64::from(be32(&header, 16)), be32(&header, 28).saturating_sub(1));
        let head = if self.version == 5 { 56 } else { 16 };
        while level <= MAX_DEPTH {
            let node = window.bytes((start + block.min(length)) * self.block, to_usize(self.block))?;
            let count = usize::from(be16(&node, 6));
            if u32::from(be16(&node, 4)) != level {
                break;
            }
            if level == 0 {
                let record = head + count.saturating_sub(1) * 8;
                let (first, free) = (u64::from(be32(&node, record)), u64::from(be32(&node, record + 4)));
                let used = if count > 0 && first + free == length { first } else { length };
                return Ok((start + used) * self.block);
            }
            // Pointers follow the room for all keys.
            let room = (to_usize(self.block) - head) / 12;
            if count == 0 || count > room {
                break;
            }
            block = u64::from(be32(&node, head + room * 8 + (count - 1) * 4));
            level -= 1;
        }
        Err(corrupt("the tree of free space of the last group is damaged"))
    }
}
