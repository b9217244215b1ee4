//! The tables that the walk starts from, and the clusters that they are in: what the header names,
//! the L1 tables of the snapshots, and the tables of the bitmaps.

use imprint_plugin_sdk::{
    format::{
        Budget, FormatError,
        blob::{Window as Reader, end_of},
        wire::{be16, be32, be64},
    },
    host::Blob,
    types::ByteRange,
};

use super::window::Window;
use crate::{header::Header, snapshot::Entries};

/// Longest content of one bitmap, as QEMU bounds it (`BME_MAX_PHYS_SIZE` in its
/// `block/qcow2-bitmap.c`).
const MAX_BITMAP: u64 = 512 << 20;
/// Head of an entry of the bitmap directory.
const BITMAP_HEAD: u64 = 24;
/// The price of an entry of a snapshot table or a bitmap directory, in entries of a table: it may
/// cost a call of the host.
const ENTRY_PRICE: u64 = 512;

/// A table of clusters that the walk starts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) table: ByteRange,
    pub(super) kind: RootKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootKind {
    /// The L1 table of the disk: copied flags are checked too.
    Active,
    /// The L1 table of a snapshot.
    Snapshot,
    /// The table of a bitmap: its entries are clusters, not tables.
    Bitmap,
}

/// The roots that were found so far.
pub(super) struct Roots {
    pub(super) found: Vec<Root>,
    refcount_blocks: usize,
    snapshots: Entries,
    bitmaps: Option<Bitmaps>,
}

/// Where the search for bitmaps is.
struct Bitmaps {
    directory: ByteRange,
    at: u64,
    left: u32,
    reader: Reader,
}

impl Roots {
    pub(super) fn begin(header: &Header) -> Self {
        let bitmaps = header.bitmaps.map(|bitmaps| Bitmaps {
            directory: ByteRange { offset: bitmaps.offset, length: bitmaps.size },
            at: bitmaps.offset,
            left: bitmaps.count,
            reader: Reader::default(),
        });
        Self {
            found: vec![Root { table: header.l1, kind: RootKind::Active }],
            refcount_blocks: 0,
            snapshots: Entries::from(header.snapshots_offset, header.snapshots),
            bitmaps,
        }
    }

    /// Counts references to tables and finds roots, as far as the budget reaches; returns whether
    /// all are found.
    pub(super) fn step(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        refcount_blocks: &[u64],
        window: &mut Window,
        budget: &mut Budget,
    ) -> Result<bool, FormatError> {
        if self.refcount_blocks == 0 {
            window.reference(0, header.cluster());
            window.reference(header.refcount_table.offset, header.refcount_table.length);
        }
        while let Some(block) = refcount_blocks.get(self.refcount_blocks).filter(|_| budget.is_left()) {
            if *block != 0 {
                window.reference(*block, header.cluster());
            }
            self.refcount_blocks += 1;
            budget.spend(1);
        }
        while budget.is_left() {
            let Some(snapshot) = self.snapshots.next(blob, header)? else { break };
            window.reference_part(header.snapshots_offset, snapshot.place.offset..self.snapshots.at());
            self.found.push(Root { table: snapshot.l1, kind: RootKind::Snapshot });
            budget.spend(ENTRY_PRICE);
        }
        if let Some(bitmaps) = &mut self.bitmaps {
            while budget.is_left() {
                let Some(root) = bitmaps.next(blob, header)? else { break };
                self.found.push(root);
                budget.spend(ENTRY_PRICE);
            }
            if budget.is_left() {
                window.reference(bitmaps.directory.offset, bitmaps.directory.length);
            }
        }
        Ok(budget.is_left())
    }
}

impl Bitmaps {
    /// Finds the table of the next persistent bitmap. An entry of the directory: u64 table offset,
    /// u32 table entries, u32 flags, u8 type, u8 granularity, u16 length of the name, u32 length of
    /// the extra data; then extra data, name, padded to 8.
    fn next(&mut self, blob: &dyn Blob, header: &Header) -> Result<Option<Root>, FormatError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let ends = || FormatError::Table("the bitmap directory ends inside an entry".to_owned());
        if self.at.checked_add(BITMAP_HEAD).is_none_or(|end| end > end_of(self.directory)) {
            return Err(ends());
        }
        let head = self.reader.get(blob, self.at, BITMAP_HEAD)?.ok_or_else(ends)?;
        let fields = (be64(head, 0), be32(head, 8), be16(head, 18), be32(head, 20));
        let (Some(offset), Some(entries), Some(name), Some(extra)) = fields else { return Err(ends()) };
        let table = ByteRange { offset, length: u64::from(entries) * 8 };
        if u64::from(entries) > MAX_BITMAP / header.cluster() {
            return Err(FormatError::Table(format!(
                "a bitmap's table has {entries} entries, where a bitmap has at most 512 MiB"
            )));
        }
        if offset.checked_add(table.length).is_none_or(|end| end > blob.size()) {
            return Err(FormatError::Table(format!(
                "a bitmap's table at {offset:#x} is outside of the file"
            )));
        }
        let length = (BITMAP_HEAD + u64::from(name) + u64::from(extra)).next_multiple_of(8);
        self.at = self.at.saturating_add(length);
        self.left = left;
        Ok(Some(Root { table, kind: RootKind::Bitmap }))
    }
}
