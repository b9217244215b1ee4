//! Where the image's own tables are, so that the host can refuse payload that lies in them.

use imprint_plugin_sdk::{host::Blob, types::ByteRange};

use crate::{
    error::Qcow2Error,
    header::Header,
    image::Image,
    snapshot,
    source::{end_of, for_each_piece},
    wire::{be64s, to_usize},
};

/// The most ranges of an answer, whatever is asked for.
const MAX_RANGES: u32 = 8192;
/// Host offset of a refcount block.
const BLOCK_MASK: u64 = !0x1ff;

impl Image {
    /// The ranges of header, L1 table, refcount table, snapshot table, L2 tables and refcount
    /// blocks, from the `start`th on; an empty answer ends the list.
    pub(crate) fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, Qcow2Error> {
        let mut fixed = vec![
            ByteRange { offset: 0, length: self.header.cluster() },
            self.header.l1,
            self.header.refcount_table,
        ];
        fixed.push(self.snapshot_table()?);
        if let Some(bitmaps) = self.header.bitmaps {
            fixed.push(ByteRange { offset: bitmaps.offset, length: bitmaps.size });
        }
        fixed.retain(|range| range.length > 0);
        if self.refcount_blocks.is_none() {
            let mut blocks = refcount_blocks(self.blob.as_ref(), &self.header)?;
            blocks.retain(|offset| *offset != 0);
            self.refcount_blocks = Some(blocks);
        }
        let blocks = self.refcount_blocks.as_deref().unwrap_or_default();
        let skip = to_usize(start)?;
        let skip_tables = skip.saturating_sub(fixed.len());
        let skip_blocks = skip_tables.saturating_sub(self.l1.count());
        let tables = self.l1.tables_by_offset(skip_tables).chain(blocks.iter().skip(skip_blocks).copied());
        let tables = tables.map(|offset| ByteRange { offset, length: self.header.cluster() });
        Ok(fixed.into_iter().skip(skip).chain(tables).take(to_usize(max.min(MAX_RANGES).into())?).collect())
    }

    /// The snapshot table; empty when there are no snapshots.
    fn snapshot_table(&mut self) -> Result<ByteRange, Qcow2Error> {
        if let Some(range) = self.snapshot_table {
            return Ok(range);
        }
        let mut end = self.header.snapshots_offset;
        snapshot::for_each(self.blob.as_ref(), &self.header, |snapshot| {
            end = end_of(snapshot.place);
            Ok(())
        })?;
        let range =
            ByteRange { offset: self.header.snapshots_offset, length: end - self.header.snapshots_offset };
        self.snapshot_table = Some(range);
        Ok(range)
    }
}

/// The entries of the refcount table: where the refcount blocks are, 0 for a block that does not
/// exist.
pub(crate) fn refcount_blocks(blob: &dyn Blob, header: &Header) -> Result<Vec<u64>, Qcow2Error> {
    let mut blocks = Vec::with_capacity(to_usize(header.refcount_table.length / 8)?);
    for_each_piece(blob, header.refcount_table.offset, header.refcount_table.length, |piece| {
        for entry in be64s(piece) {
            blocks.push(block_offset(entry, header.cluster(), blob.size())?);
        }
        Ok(())
    })?;
    Ok(blocks)
}

fn block_offset(entry: u64, cluster: u64, file: u64) -> Result<u64, Qcow2Error> {
    let offset = entry & BLOCK_MASK;
    if offset != entry || !offset.is_multiple_of(cluster) {
        return Err(Qcow2Error::Table(format!("the refcount table entry {entry:#018x} is no cluster")));
    }
    match offset.checked_add(cluster) {
        Some(end) if end <= file => Ok(offset),
        _ => Err(Qcow2Error::Truncated(format!(
            "a refcount block is at {offset:#x}, and the file ends at {file:#x}"
        ))),
    }
}
