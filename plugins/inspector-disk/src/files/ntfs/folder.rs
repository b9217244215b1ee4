//! Folders: trees of names. A search goes down by the order of the names.
//!
//! Names are in the order of their upper-case spelling, by a table of the file system. The names
//! that are looked for are ASCII, and no table makes another character an ASCII letter, so that the
//! order of an ASCII name among others does not depend on it.

use std::cmp::Ordering;

use imprint_plugin_sdk::error::Result;

use super::{
    Ntfs,
    record::{Record, fix},
};
use crate::bytes::{byte, corrupt, le16, le32, le64, to_usize};

/// The types of attributes, and their name.
const ROOT: u32 = 0x90;
const BLOCKS: u32 = 0xa0;
const NAME: &str = "$I30";
/// The deepest tree, and the largest block.
const MAX_DEPTH: usize = 16;
const MAX_BLOCK: u32 = 64 << 10;
/// Flags of an entry: it has a block below it; it is behind the last name.
const BELOW: u16 = 1;
const LAST: u16 = 2;
/// The bits of a reference that are the number of a record.
const NUMBER: u64 = (1 << 48) - 1;
/// The unit of the number of a block that is shorter than a cluster, in bytes.
const SHORT_UNIT: u64 = 512;

/// What a block says of a name.
enum Step {
    Found(u64),
    /// The number of the block to look in.
    Below(u64),
    Absent,
}

impl Ntfs {
    /// Returns the number of the record of a name in a folder; `None` where there is none.
    pub(super) fn lookup(&self, folder: &Record, name: &str) -> Result<Option<u64>> {
        let root = self.stream(folder, ROOT, NAME)?;
        let root = root.ok_or_else(|| corrupt("a folder has no names"))?;
        let mut bytes = vec![0; to_usize(root.length().min(u64::from(MAX_BLOCK)))];
        self.read(&root, 0, &mut bytes)?;
        let block = le32(&bytes, 8);
        if !(SHORT_UNIT..=u64::from(MAX_BLOCK)).contains(&u64::from(block)) {
            return Err(corrupt(format!("a folder has blocks of {block} bytes")));
        }
        let unit = if u64::from(block) < self.cluster { SHORT_UNIT } else { self.cluster };
        let mut node = bytes.split_off(16.min(bytes.len()));
        for _ in 0..MAX_DEPTH {
            let number = match step(&node, name)? {
                Step::Found(number) => return Ok(Some(number)),
                Step::Absent => return Ok(None),
                Step::Below(number) => number,
            };
            let blocks = self.stream(folder, BLOCKS, NAME)?;
            let blocks = blocks.ok_or_else(|| corrupt("a folder has no blocks"))?;
            let mut bytes = vec![0; to_usize(block)];
            self.read(&blocks, number.saturating_mul(unit), &mut bytes)?;
            fix(&mut bytes, b"INDX")?;
            node = bytes.split_off(24);
        }
        Err(corrupt("the names of a folder lead in a circle"))
    }
}

/// Looks at the entries of a node, which begins with its header.
fn step(node: &[u8], name: &str) -> Result<Step> {
    let end = to_usize(le32(node, 4)).min(node.len());
    let mut at = to_usize(le32(node, 0));
    while at.saturating_add(16) <= end {
        let (length, flags) = (usize::from(le16(node, at + 8)), le16(node, at + 12));
        let entry = node.get(at..at + length).filter(|entry| entry.len() >= 16);
        let entry = entry.ok_or_else(|| corrupt("an entry of a folder has an impossible length"))?;
        let order = if flags & LAST != 0 { Ordering::Less } else { compare(name, entry) };
        match order {
            Ordering::Equal => return Ok(Step::Found(le64(entry, 0) & NUMBER)),
            Ordering::Less if flags & BELOW != 0 => return Ok(Step::Below(le64(entry, length - 8))),
            Ordering::Less => return Ok(Step::Absent),
            Ordering::Greater => at += length,
        }
    }
    Ok(Step::Absent)
}

/// Compares a name with that of an entry.
fn compare(name: &str, entry: &[u8]) -> Ordering {
    let upper = |unit: u16| u8::try_from(unit).map_or(unit, |unit| u16::from(unit.to_ascii_uppercase()));
    let length = usize::from(byte(entry, 16 + 64)) * 2;
    let other = entry.get(16 + 66..16 + 66 + length).unwrap_or_default();
    name.encode_utf16().map(upper).cmp(other.chunks_exact(2).map(|unit| upper(le16(unit, 0))))
}
