//! Everything that refers to a cluster, from the roots on.

use imprint_plugin_sdk::{
    format::{
        Budget, Finding, FormatError, Severity,
        blob::{MAX_RANGES, MAX_READ, end_of, read_all, read_exact},
        wire::{be64s, round_up, to_u64},
    },
    host::Blob,
    types::ByteRange,
};

use super::{
    findings::{PRICE, finding},
    roots::{Root, RootKind, Roots},
    window::Window,
};
use crate::{
    header::Header,
    l2::{COPIED, Cluster, OFFSET_MASK},
};

/// Bytes of a root table that one step reads.
const STEP_BYTES: u64 = 4 << 10;
/// L2 tables are read, and visited, in pieces of at most this many bytes.
const PIECE: u64 = 64 << 10;

/// Where the walk over one window is.
pub(super) struct Walk {
    roots: Vec<Root>,
    root: usize,
    /// Bytes of that root's table that are done.
    done: u64,
    /// Bytes that are done of the L2 table that the next entry names.
    inside: u64,
}

/// A part of a step: an entry of a root, or a piece of the L2 table that it names.
struct Visit {
    entry: u64,
    piece: Option<ByteRange>,
    /// It begins with the entry.
    first: bool,
    /// Where the walk is after it: bytes of the root, and of the L2 table.
    then: (u64, u64),
}

/// The findings that wait to be answered.
pub(super) struct Pending<'a> {
    pub(super) findings: &'a mut Vec<Finding>,
    /// No more than these are wanted; one table may yield some beyond.
    pub(super) most: usize,
}

impl Walk {
    pub(super) fn begin(roots: Roots) -> Self {
        Self { roots: roots.found, root: 0, done: 0, inside: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.root >= self.roots.len()
    }

    /// Visits the next few entries of a root and their tables, until the budget is used up, there
    /// is no room for another finding, or 1 MiB of tables was read.
    pub(super) fn step(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        window: &mut Window,
        pending: Pending<'_>,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        let Pending { findings, most } = pending;
        let Some(root) = self.roots.get(self.root).copied() else { return Ok(()) };
        let begin = self.done;
        let rest = root.table.length.saturating_sub(begin);
        let bytes = read_exact(blob, root.table.offset + begin, rest.min(STEP_BYTES))?;
        let (visits, end) = self.visits(root, &bytes, header.cluster(), blob.size());
        let ranges: Vec<ByteRange> = visits.iter().filter_map(|visit| visit.piece).collect();
        let mut pieces = read_all(blob, &ranges)?.into_iter();
        let mut visitor = Visitor { header, file: blob.size(), window, findings, kind: root.kind, budget };
        let mut stopped = false;
        for visit in visits {
            if visit.first {
                visitor.entry(visit.entry);
            }
            if let Some(bytes) = visit.piece.and_then(|_| pieces.next()) {
                visitor.l2_table(&bytes);
            }
            (self.done, self.inside) = visit.then;
            stopped = !visitor.budget.is_left() || visitor.findings.len() >= most;
            if stopped {
                break;
            }
        }
        if !stopped {
            budget.spend((end.0 - begin) / 8);
            (self.done, self.inside) = end;
        }
        let part = root.table.offset + begin..root.table.offset + self.done;
        window.reference_part(root.table.offset, part);
        if self.done >= root.table.length {
            (self.root, self.done, self.inside) = (self.root + 1, 0, 0);
        }
        Ok(())
    }

    /// Returns what is to be visited of a part of a root's table, as far as one read of the host
    /// reaches, and where the walk is after all of it.
    fn visits(&self, root: Root, bytes: &[u8], cluster: u64, file: u64) -> (Vec<Visit>, (u64, u64)) {
        let mut visits = Vec::new();
        let (mut room, mut ranges) = (u64::from(MAX_READ), 0);
        let mut inside = self.inside;
        for (entry, at) in be64s(bytes).zip((self.done..).step_by(8)) {
            let host = entry & OFFSET_MASK;
            if host == 0 {
                continue;
            }
            let is_table = root.kind != RootKind::Bitmap
                && host & (cluster - 1) == 0
                && host.checked_add(cluster).is_some_and(|end| end <= file);
            if !is_table {
                visits.push(Visit { entry, piece: None, first: true, then: (at + 8, 0) });
                continue;
            }
            while inside < cluster {
                let length = PIECE.min(cluster - inside);
                if room < length || ranges == MAX_RANGES {
                    return (visits, (at, inside));
                }
                let piece = Some(ByteRange { offset: host + inside, length });
                let first = inside == 0;
                (room, ranges, inside) = (room - length, ranges + 1, inside + length);
                let then = if inside < cluster { (at, inside) } else { (at + 8, 0) };
                visits.push(Visit { entry, piece, first, then });
            }
            inside = 0;
        }
        // Bytes that are no whole entry name nothing.
        (visits, (self.done + to_u64(bytes.len()), 0))
    }
}

/// What visits entries of one root.
struct Visitor<'a> {
    header: &'a Header,
    /// Bytes of the file.
    file: u64,
    window: &'a mut Window,
    findings: &'a mut Vec<Finding>,
    kind: RootKind,
    budget: &'a mut Budget,
}

impl Visitor<'_> {
    /// Counts what an entry of a root names.
    fn entry(&mut self, entry: u64) {
        if self.kind == RootKind::Bitmap {
            self.plain(entry, "bitmap");
        } else if self.plain(entry, "L2 table") {
            let table = ByteRange { offset: entry & OFFSET_MASK, length: self.header.cluster() };
            if end_of(table) > self.file {
                self.report("corrupt.truncated", format!("the file ends inside an L2 table ({entry:#018x})"));
            }
        }
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
        self.budget.spend(self.header.entries_of(bytes));
    }

    /// Counts one whole cluster; returns whether it starts inside of the file.
    fn plain(&mut self, entry: u64, what: &str) -> bool {
        let host = entry & OFFSET_MASK;
        if host & (self.header.cluster() - 1) != 0 {
            self.report("corrupt.table", format!("a {what} is between two clusters ({entry:#018x})"));
            return false;
        }
        if host >= self.file {
            self.report(
                "corrupt.truncated",
                format!("a {what} is behind the end of the file ({entry:#018x})"),
            );
            return false;
        }
        let single = self.window.reference_one(host);
        let copied = entry & COPIED != 0;
        if self.kind == RootKind::Active && single.is_some_and(|single| single != copied) {
            let text = format!("the copied flag of a {what} disagrees with its refcount ({entry:#018x})");
            self.findings.push(finding(Severity::Error, "qcow2.copied-flag", text, host));
            self.budget.spend(PRICE);
        }
        true
    }

    /// What is wrong with an entry itself is the same through every window.
    fn report(&mut self, code: &str, message: String) {
        self.budget.spend(PRICE);
        if self.window.number() == 0 {
            let code = code.to_owned();
            self.findings.push(Finding { severity: Severity::Error, code, message, offset: None });
        }
    }
}
