//! Where the image's own tables are, so that the host can refuse payload that lies in them.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{end_of, for_each_piece},
        wire::{be64s, to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{header::Header, l1::L1, snapshot};

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 8192;
/// Host offset of a refcount block.
const BLOCK_MASK: u64 = !0x1ff;
/// Entries of the snapshot table that one range describes: how long they are is known once they
/// were read.
const SNAPSHOTS_OF_A_RANGE: u32 = 4096;

/// How far the list was handed out, so that the next page need not begin at its start.
#[derive(Default)]
pub(crate) struct Listing {
    refcount_blocks: Option<Vec<u64>>,
    /// The L2 tables that were handed out, and the index in the L1 table behind the last of them.
    tables: (u64, u64),
    /// The ranges of the snapshot table that were handed out, and where the last of them ends.
    snapshots: Option<(u64, u64)>,
}

impl Listing {
    /// Returns the ranges of header, L1 table, refcount table and bitmap directory, L2 tables,
    /// refcount blocks and snapshot table, from the `start`th on; an empty answer ends the list.
    pub(crate) fn page(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        l1: &L1,
        start: u64,
        max: u32,
    ) -> Result<Vec<ByteRange>, FormatError> {
        let max = to_usize(max.min(MAX_RANGES).into())?;
        let fixed = fixed_ranges(header);
        let mut skip = start.saturating_sub(to_u64(fixed.len()));
        let mut ranges: Vec<ByteRange> = fixed.into_iter().skip(to_usize(start)?).take(max).collect();
        if ranges.len() < max {
            self.l2_tables(header, l1, skip, max, &mut ranges);
        }
        if ranges.len() < max {
            skip = skip.saturating_sub(self.tables.0);
            let blocks = self.blocks(blob, header)?;
            let (known, room) = (to_u64(blocks.len()), max - ranges.len());
            let blocks = blocks.iter().skip(to_usize(skip)?).take(room);
            ranges.extend(blocks.map(|offset| ByteRange { offset: *offset, length: header.cluster() }));
            skip = skip.saturating_sub(known);
        }
        // Each range of the snapshot table has a page to itself.
        if ranges.is_empty() && max > 0 {
            ranges.extend(self.snapshot_range(blob, header, skip)?);
        }
        Ok(ranges)
    }

    /// The refcount blocks that exist.
    fn blocks(&mut self, blob: &dyn Blob, header: &Header) -> Result<&[u64], FormatError> {
        if self.refcount_blocks.is_none() {
            let mut blocks = refcount_blocks(blob, header)?;
            blocks.retain(|offset| *offset != 0);
            self.refcount_blocks = Some(blocks);
        }
        Ok(self.refcount_blocks.as_deref().unwrap_or_default())
    }

    /// Adds the L2 tables from the `skip`th on, in the order of the disk.
    fn l2_tables(&mut self, header: &Header, l1: &L1, skip: u64, max: usize, ranges: &mut Vec<ByteRange>) {
        if self.tables.0 > skip {
            self.tables = (0, 0);
        }
        while ranges.len() < max
            && let Some(index) = l1.next_table(self.tables.1)
        {
            if self.tables.0 >= skip {
                ranges.push(ByteRange { offset: l1.table(index), length: header.cluster() });
            }
            self.tables = (self.tables.0 + 1, index + 1);
        }
    }

    /// Returns the range of the `number`th part of the snapshot table.
    fn snapshot_range(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        number: u64,
    ) -> Result<Option<ByteRange>, FormatError> {
        let first = (0, header.snapshots_offset);
        let (mut done, mut at) = self.snapshots.filter(|(done, _)| *done <= number).unwrap_or(first);
        let mut range = None;
        while done <= number {
            let entries = header
                .snapshots
                .saturating_sub(u32::try_from(done).unwrap_or(u32::MAX).saturating_mul(SNAPSHOTS_OF_A_RANGE));
            if entries == 0 {
                return Ok(None);
            }
            let start = at;
            let mut snapshots = snapshot::Entries::from(at, entries.min(SNAPSHOTS_OF_A_RANGE));
            while let Some(snapshot) = snapshots.next(blob, header)? {
                at = end_of(snapshot.place);
            }
            range = Some(ByteRange { offset: start, length: at - start });
            done += 1;
        }
        self.snapshots = Some((done, at));
        Ok(range)
    }
}

fn fixed_ranges(header: &Header) -> Vec<ByteRange> {
    let mut fixed = vec![ByteRange { offset: 0, length: header.cluster() }, header.l1, header.refcount_table];
    if let Some(bitmaps) = header.bitmaps {
        fixed.push(ByteRange { offset: bitmaps.offset, length: bitmaps.size });
    }
    fixed.retain(|range| range.length > 0);
    fixed
}

/// Returns the entries of the refcount table: where the refcount blocks are, 0 for a block that
/// does not exist.
pub(crate) fn refcount_blocks(blob: &dyn Blob, header: &Header) -> Result<Vec<u64>, FormatError> {
    let mut blocks = Vec::with_capacity(to_usize(header.refcount_table.length / 8)?);
    for_each_piece(blob, header.refcount_table.offset, header.refcount_table.length, |piece| {
        for entry in be64s(piece) {
            blocks.push(block_offset(entry, header.cluster(), blob.size())?);
        }
        Ok(())
    })?;
    Ok(blocks)
}

fn block_offset(entry: u64, cluster: u64, file: u64) -> Result<u64, FormatError> {
    let offset = entry & BLOCK_MASK;
    if offset != entry || !offset.is_multiple_of(cluster) {
        return Err(FormatError::Table(format!("the refcount table entry {entry:#018x} is no cluster")));
    }
    match offset.checked_add(cluster) {
        Some(end) if end <= file => Ok(offset),
        _ => Err(FormatError::Truncated(format!(
            "a refcount block is at {offset:#x}, and the file ends at {file:#x}"
        ))),
    }
}
