//! The map: one entry for each block of the disk, read in windows.

use std::ops::ControlFlow;

use imprint_plugin_sdk::{
    format::{Budget, FormatError, MapBuilder, Page, blob::read_exact, wire::le32s},
    host::Blob,
};

use crate::header::Header;

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
/// Entries of a window: 1 MiB of the map.
const WINDOW: u64 = 256 << 10;
const FREE: u32 = 0xffff_ffff;
const ZERO: u32 = 0xffff_fffe;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The block was never written.
    Free,
    /// The block is zeroes.
    Zero,
    /// The block is the one with this number in the file.
    Stored(u32),
}

impl Entry {
    pub(crate) fn of(entry: u32) -> Self {
        match entry {
            FREE => Self::Free,
            ZERO => Self::Zero,
            number => Self::Stored(number),
        }
    }
}

/// The part of the map that was read last: at most 1 MiB.
#[derive(Default)]
pub(crate) struct Window {
    first: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The entries from the block on, up to the end of a window; at least one when the block is one
    /// of the disk's.
    pub(crate) fn entries(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        block: u64,
    ) -> Result<impl Iterator<Item = Entry> + '_, FormatError> {
        let first = block - block % WINDOW;
        if self.bytes.is_empty() || self.first != first {
            let count = u64::from(header.blocks).saturating_sub(first).min(WINDOW);
            self.bytes = read_exact(blob, header.map_offset + first * 4, count * 4)?;
            self.first = first;
        }
        let skip = usize::try_from(block - first).unwrap_or(usize::MAX);
        Ok(le32s(&self.bytes).skip(skip).map(Entry::of))
    }
}

/// Describes `[start, end)` of the disk, at most `max` extents and a bounded part of the map a
/// call. Whether two entries name the same block is seen only over the whole map: that is the
/// host's check.
pub(crate) fn page(
    blob: &dyn Blob,
    header: &Header,
    window: &mut Window,
    start: u64,
    end: u64,
    max: u32,
) -> Result<Page, FormatError> {
    let end = end.min(header.virtual_size);
    let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
    let unit = header.block;
    let mut budget = Budget::of_a_call();
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() && !map.is_full() && budget.is_left() {
        for entry in window.entries(blob, header, map.cursor() / unit)? {
            budget.spend(1);
            let (block, into) = (map.cursor() / unit, map.cursor() % unit);
            let rest = unit - into;
            flow = match entry {
                Entry::Free => map.hole(rest)?,
                Entry::Zero => map.zero(rest)?,
                Entry::Stored(number) => {
                    map.data(rest, 0, stored_at(header, blob.size(), block, number)? + into)?
                }
            };
            if flow.is_break() {
                break;
            }
        }
    }
    Ok(map.finish())
}

/// Returns where a block is in the file. Numbers are below the number of blocks of the disk, and of
/// the disk's last block, only what belongs to the disk has to be there.
pub(crate) fn stored_at(header: &Header, file: u64, block: u64, number: u32) -> Result<u64, FormatError> {
    if number >= header.blocks {
        return Err(FormatError::Truncated(format!(
            "block {block} of the disk is block {number} of the file, and the file has at most {} blocks",
            header.blocks
        )));
    }
    let at = header.data_offset + u64::from(number) * header.block;
    let used = header.virtual_size.saturating_sub(block * header.block).min(header.block);
    if at + used > file {
        return Err(FormatError::Truncated(format!(
            "block {block} of the disk ends at {} of the file, which ends at {file}",
            at + used
        )));
    }
    Ok(at)
}

/// The entries of a new map.
pub(crate) fn encode(entry: Option<u32>) -> [u8; 4] {
    entry.unwrap_or(FREE).to_le_bytes()
}

/// A count as one that the header can hold.
pub(crate) fn to_count(count: u64) -> u32 {
    u32::try_from(count).expect("at most 2^26 blocks")
}
