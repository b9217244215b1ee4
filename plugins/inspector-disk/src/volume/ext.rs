//! ext2, ext3 and ext4, by the superblock, the descriptors of the groups and their bitmaps.

use imprint_plugin_sdk::error::Result;

use super::{Content, Kind, Volume};
use crate::{
    bytes::{budget, byte, corrupt, le16, le32, text, to_usize, uuid},
    window::Window,
};

/// Where the superblock is.
const SUPERBLOCK: usize = 1024;
/// Features that decide how the groups are read.
const JOURNAL: u32 = 0x4;
const META_GROUPS: u32 = 0x10;
const IS_64BIT: u32 = 0x80;
/// Features that ext3 does not have.
const EXT4_INCOMPATIBLE: u32 = 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x8000 | 0x10000;
const EXT4_READ_ONLY: u32 = 0x8 | 0x10 | 0x20 | 0x40 | 0x200 | 0x400;
const BIG_CLUSTERS: u32 = 0x200;
/// A group whose bitmap was never written.
const NO_BITMAP: u16 = 0x2;
/// The most bytes of descriptors. Their reader keeps all of them in memory.
const MAX_DESCRIPTORS: u64 = 8 << 20;
/// The groups with free space that are looked at from the end.
const MAX_GROUPS: u64 = 1 << 16;

/// The numbers of a superblock.
struct Layout {
    block: u64,
    blocks: u64,
    free: u64,
    first: u64,
    per_group: u64,
    descriptor: u64,
    incompatible: u32,
    read_only: u32,
}

/// Recognises ext2, ext3 and ext4.
pub(super) fn recognise(window: &Window, head: &[u8]) -> Option<Volume> {
    let superblock = head.get(SUPERBLOCK..SUPERBLOCK + 1024)?;
    if le16(superblock, 0x38) != 0xef53 {
        return None;
    }
    let (compatible, incompatible, read_only) =
        (le32(superblock, 0x5c), le32(superblock, 0x60), le32(superblock, 0x64));
    let kind = if incompatible & EXT4_INCOMPATIBLE != 0 || read_only & EXT4_READ_ONLY != 0 {
        "ext4"
    } else if compatible & JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    let mut volume = Volume::new(kind, Content::Files(Kind::Ext));
    volume.found.uuid = uuid(superblock, 0x68);
    volume.found.label = text(superblock, 0x78, 16);
    let checked = layout(superblock).and_then(|layout| {
        volume.found.size = layout.blocks.checked_mul(layout.block);
        volume.found.used =
            layout.blocks.checked_sub(layout.free).map(|used| used.saturating_mul(layout.block));
        layout.check(window)?;
        Ok(layout)
    });
    match checked {
        Ok(layout) => match layout.used_until(window) {
            Ok(until) => volume.found.used_until = until,
            Err(error) => volume.failed = Some(error),
        },
        // Its reader believes the superblock: it is not given one that cannot be right.
        Err(error) => volume.content = Content::Closed(error),
    }
    Some(volume)
}

fn layout(superblock: &[u8]) -> Result<Layout> {
    let size = le32(superblock, 0x18);
    if size > 6 {
        return Err(corrupt(format!(
            "the superblock says that a block has 2^{} bytes",
            u64::from(size) + 10
        )));
    }
    let incompatible = le32(superblock, 0x60);
    let wide = incompatible & IS_64BIT != 0;
    let high = |at: usize| if wide { u64::from(le32(superblock, at)) << 32 } else { 0 };
    Ok(Layout {
        block: 1024 << size,
        blocks: high(0x150) | u64::from(le32(superblock, 4)),
        free: high(0x158) | u64::from(le32(superblock, 12)),
        first: u64::from(le32(superblock, 0x14)),
        per_group: u64::from(le32(superblock, 0x20)),
        descriptor: if wide { u64::from(le16(superblock, 0xfe)) } else { 32 },
        incompatible,
        read_only: le32(superblock, 0x64),
    })
}

impl Layout {
    fn check(&self, window: &Window) -> Result<()> {
        let size = self.blocks.checked_mul(self.block);
        if size.is_none_or(|size| size > window.length()) {
            let text = format!(
                "the superblock says that it has {} blocks of {} bytes, and there are {} bytes",
                self.blocks,
                self.block,
                window.length()
            );
            return Err(corrupt(text));
        }
        if self.free > self.blocks || self.first > 1 || self.blocks <= self.first {
            return Err(corrupt("the superblock has more free blocks than blocks"));
        }
        if self.per_group == 0 || self.per_group > 8 * self.block || !(32..=1024).contains(&self.descriptor) {
            return Err(corrupt("the superblock has groups of an impossible size"));
        }
        if self.groups().saturating_mul(self.descriptor) > MAX_DESCRIPTORS {
            return Err(budget(format!("it has {} groups, more than an inspection reads", self.groups())));
        }
        Ok(())
    }

    fn groups(&self) -> u64 {
        (self.blocks - self.first).div_ceil(self.per_group)
    }

    /// Returns the end of the last block in use, by the last group that has one.
    fn used_until(&self, window: &Window) -> Result<Option<u64>> {
        // Descriptors are elsewhere, or bitmaps count other units.
        if self.incompatible & META_GROUPS != 0 || self.read_only & BIG_CLUSTERS != 0 {
            return Ok(None);
        }
        for group in (0..self.groups()).rev().take(to_usize(MAX_GROUPS)) {
            let start = self.first + group * self.per_group;
            let length = self.per_group.min(self.blocks - start);
            if let Some(used) = self.used_in_group(window, group, length)? {
                return Ok(Some((start + used) * self.block));
            }
        }
        Ok(None)
    }

    /// Returns the blocks of a group up to the last one in use; `None` where none is.
    fn used_in_group(&self, window: &Window, group: u64, length: u64) -> Result<Option<u64>> {
        let at = (self.first + 1) * self.block + group * self.descriptor;
        let descriptor = window.bytes(at, to_usize(self.descriptor))?;
        let wide = self.descriptor >= 64;
        let free = u64::from(le16(&descriptor, 12))
            | if wide { u64::from(le16(&descriptor, 0x2c)) << 16 } else { 0 };
        if free >= length {
            return Ok(None);
        }
        if le16(&descriptor, 18) & NO_BITMAP != 0 {
            // What is in use in such a group are copies of tables at its start.
            return Ok(Some(length - free));
        }
        let high = if wide { u64::from(le32(&descriptor, 0x20)) << 32 } else { 0 };
        let bitmap = (high | u64::from(le32(&descriptor, 0))).saturating_mul(self.block);
        let bitmap = window.bytes(bitmap, to_usize(length.div_ceil(8)))?;
        let last = (0..length).rev().find(|bit| byte(&bitmap, to_usize(bit / 8)) >> (bit % 8) & 1 == 1);
        Ok(last.map(|last| last + 1))
    }
}
