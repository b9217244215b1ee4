//! Everything that refers to a cluster: the header's tables, the active L1 table, the snapshots'
//! and the bitmaps'.

use imprint_plugin_sdk::{
    format::{Finding, Severity},
    host::Blob,
    types::ByteRange,
};

use super::{finding, window::Window};
use crate::{
    error::Qcow2Error,
    header::Header,
    l2::{COPIED, Cluster, OFFSET_MASK},
    snapshot,
    source::{MAX_READ, end_of, read_all, read_exact},
    wire::{be16, be32, be64, be64s, round_up, to_usize},
};

/// Entries of a root table that one step looks at.
const STEP_BYTES: u64 = 4 << 10;
/// Longest content of one bitmap, as QEMU bounds it (`BME_MAX_PHYS_SIZE` in its
/// `block/qcow2-bitmap.c`).
const MAX_BITMAP: u64 = 512 << 20;
/// Head of an entry of the bitmap directory.
const BITMAP_HEAD: usize = 24;

/// A table of clusters that the walk starts from.
#[derive(Clone, Copy, Debug)]
struct Root {
    table: ByteRange,
    kind: RootKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RootKind {
    /// The L1 table of the disk: copied flags are checked too.
    Active,
    /// The L1 table of a snapshot.
    Snapshot,
    /// The table of a bitmap: its entries are clusters, not tables.
    Bitmap,
}

/// Where the walk over one window is.
pub(super) struct Walk {
    roots: Vec<Root>,
    root: usize,
    /// Bytes of that root's table that are done.
    done: u64,
}

impl Walk {
    /// Counts what the header names and finds the roots.
    pub(super) fn begin(
        blob: &dyn Blob,
        header: &Header,
        blocks: &[u64],
        window: &mut Window,
    ) -> Result<Self, Qcow2Error> {
        let mut roots = vec![Root { table: header.l1, kind: RootKind::Active }];
        window.reference(0, header.cluster());
        window.reference(header.refcount_table.offset, header.refcount_table.length);
        for block in blocks.iter().filter(|block| **block != 0) {
            window.reference(*block, header.cluster());
        }
        let mut end = header.snapshots_offset;
        snapshot::for_each(blob, header, |snapshot| {
            end = end_of(snapshot.place);
            roots.push(Root { table: snapshot.l1, kind: RootKind::Snapshot });
            Ok(())
        })?;
        window.reference(header.snapshots_offset, end - header.snapshots_offset);
        bitmap_tables(blob, header, window, &mut roots)?;
        for root in &roots {
            window.reference(root.table.offset, root.table.length);
        }
        Ok(Self { roots, root: 0, done: 0 })
    }

    pub(super) fn is_done(&self) -> bool {
        self.root >= self.roots.len()
    }

    /// Looks at the next few entries of a root, at least one.
    pub(super) fn step(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        window: &mut Window,
        findings: &mut Vec<Finding>,
        budget: &mut u64,
    ) -> Result<(), Qcow2Error> {
        let Some(root) = self.roots.get(self.root).copied() else { return Ok(()) };
        let rest = root.table.length.saturating_sub(self.done);
        let bytes = read_exact(blob, root.table.offset + self.done, rest.min(STEP_BYTES))?;
        let mut spent = 0;
        let mut visit = Visit { blob, header, file: blob.size(), window, findings, kind: root.kind };
        let at_once = to_usize((u64::from(MAX_READ) / header.cluster()).max(1))?;
        let mut tables = Vec::with_capacity(at_once);
        for entry in be64s(&bytes) {
            spent += 8;
            match root.kind {
                _ if entry & OFFSET_MASK == 0 => {}
                RootKind::Bitmap => {
                    visit.plain(entry, "bitmap");
                }
                RootKind::Active | RootKind::Snapshot => tables.extend(visit.table_at(entry)),
            }
            if tables.len() == at_once {
                visit.l2_tables(&mut tables, budget)?;
                if *budget == 0 {
                    break;
                }
            }
        }
        visit.l2_tables(&mut tables, budget)?;
        *budget = budget.saturating_sub(spent);
        self.done += spent;
        if self.done >= root.table.length {
            self.root += 1;
            self.done = 0;
        }
        Ok(())
    }
}

/// One look at a table.
struct Visit<'a> {
    blob: &'a dyn Blob,
    header: &'a Header,
    /// Bytes of the file.
    file: u64,
    window: &'a mut Window,
    findings: &'a mut Vec<Finding>,
    kind: RootKind,
}

impl Visit<'_> {
    /// The L2 table that an entry of an L1 table names, if it can be read.
    fn table_at(&mut self, entry: u64) -> Option<ByteRange> {
        if !self.plain(entry, "L2 table") {
            return None;
        }
        let table = ByteRange { offset: entry & OFFSET_MASK, length: self.header.cluster() };
        if end_of(table) > self.file {
            self.report("corrupt.truncated", format!("the file ends inside an L2 table ({entry:#018x})"));
            return None;
        }
        Some(table)
    }

    /// Reads some tables at once, and looks at them.
    fn l2_tables(&mut self, tables: &mut Vec<ByteRange>, budget: &mut u64) -> Result<(), Qcow2Error> {
        match tables.as_slice() {
            [] => {}
            [one] => {
                let bytes = read_exact(self.blob, one.offset, one.length)?;
                self.l2_table(&bytes);
            }
            several => read_all(self.blob, several)?.iter().for_each(|bytes| self.l2_table(bytes)),
        }
        *budget = budget.saturating_sub(tables.iter().map(|table| table.length).sum());
        tables.clear();
        Ok(())
    }

    fn l2_table(&mut self, bytes: &[u8]) {
        let reader = self.header.entry_reader();
        let simple = reader.simple();
        for (entry, bitmap) in reader.words(bytes) {
            if simple.is_some_and(|mask| entry & !mask == 0) {
                if entry & OFFSET_MASK != 0 {
                    self.plain(entry, "data cluster");
                }
                continue;
            }
            match reader.cluster(entry, bitmap) {
                Ok(Cluster::Hole | Cluster::Zero(0) | Cluster::Mixed { host: 0, .. }) => {}
                Ok(Cluster::Zero(_) | Cluster::Data(_) | Cluster::Mixed { .. }) => {
                    self.plain(entry, "data cluster");
                }
                Ok(Cluster::Compressed(stored)) => {
                    if stored.offset + stored.length > round_up(self.file, 512) {
                        self.report(
                            "corrupt.truncated",
                            format!("an encoded cluster ends behind the file ({entry:#018x})"),
                        );
                    }
                    self.window.reference(stored.offset, stored.length);
                }
                Err(error) => self.report(error.code(), error.to_string()),
            }
        }
    }

    /// Counts one whole cluster; the answer is whether it starts inside of the file.
    fn plain(&mut self, entry: u64, what: &str) -> bool {
        let host = entry & OFFSET_MASK;
        if host & (self.header.cluster() - 1) != 0 {
            self.report("corrupt.table", format!("a {what} lies between two clusters ({entry:#018x})"));
            return false;
        }
        if host >= self.file {
            self.report(
                "corrupt.truncated",
                format!("a {what} lies behind the end of the file ({entry:#018x})"),
            );
            return false;
        }
        let single = self.window.reference_one(host);
        let copied = entry & COPIED != 0;
        if self.kind == RootKind::Active && single.is_some_and(|single| single != copied) {
            let text = format!("the copied flag of a {what} disagrees with its refcount ({entry:#018x})");
            self.findings.push(finding(Severity::Error, "qcow2.copied-flag", text, host));
        }
        true
    }

    /// What is wrong with an entry itself is the same through every window.
    fn report(&mut self, code: &str, message: String) {
        if self.window.number() == 0 {
            self.findings.push(Finding {
                severity: Severity::Error,
                code: code.to_owned(),
                message,
                offset: None,
            });
        }
    }
}

/// Finds the tables of the persistent bitmaps. An entry of the directory: u64 table offset, u32
/// table entries, u32 flags, u8 type, u8 granularity, u16 length of the name, u32 length of the
/// extra data; then extra data, name, padded to 8.
fn bitmap_tables(
    blob: &dyn Blob,
    header: &Header,
    window: &mut Window,
    roots: &mut Vec<Root>,
) -> Result<(), Qcow2Error> {
    let Some(bitmaps) = header.bitmaps else { return Ok(()) };
    window.reference(bitmaps.offset, bitmaps.size);
    let directory = read_exact(blob, bitmaps.offset, bitmaps.size)?;
    let mut rest = directory.as_slice();
    for _ in 0..bitmaps.count {
        let fields = (be64(rest, 0), be32(rest, 8), be16(rest, 18), be32(rest, 20));
        let (Some(offset), Some(entries), Some(name), Some(extra)) = fields else {
            return Err(Qcow2Error::Table("the bitmap directory ends inside an entry".to_owned()));
        };
        let table = ByteRange { offset, length: u64::from(entries) * 8 };
        if u64::from(entries) > MAX_BITMAP / header.cluster() {
            return Err(Qcow2Error::Table(format!(
                "a bitmap's table has {entries} entries, where a bitmap has at most 512 MiB"
            )));
        }
        if offset.checked_add(table.length).is_none_or(|end| end > blob.size()) {
            return Err(Qcow2Error::Table(format!(
                "a bitmap's table at {offset:#x} lies outside of the file"
            )));
        }
        roots.push(Root { table, kind: RootKind::Bitmap });
        let length = u64::from(name) + u64::from(extra);
        let next = to_usize(length)?.checked_add(BITMAP_HEAD).map(|length| length.next_multiple_of(8));
        rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
    }
    Ok(())
}
