//! Refcounts against actual use, as `qemu-img check` compares them, with bounded memory.
//!
//! The file is looked at through windows of 4 Mi clusters: 256 GiB with clusters of 64 KiB. For each window all tables
//! are walked and the references into the window counted, a bounded number of table bytes a call; then the counts are
//! compared with what the file says. The resume token is `window << 40 | phase << 39 | position`, so it only ever grows;
//! an instance that does not know a window walks it again, when it is to begin with it or to compare, and refuses to go on
//! in the middle of a walk that is not its own.

mod refcounts;
mod walk;

use imprint_plugin_sdk::{
    format::{Finding, Findings, Severity},
    host::Blob,
};

use crate::{
    error::Qcow2Error,
    header::Header,
    image::Image,
    ranges::refcount_blocks,
    slices::BUDGET,
    wire::{to_u64, to_usize},
};
use walk::Walk;

/// Clusters of a window.
const WINDOW: u64 = 4 << 20;
/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
const WINDOW_SHIFT: u32 = 40;
const PHASE: u64 = 1 << 39;

/// A window of the check that is going on.
pub(crate) struct Checker {
    window: Window,
    walk: Walk,
    /// Found while walking; at most what one table yields more than was asked for.
    pending: Vec<Finding>,
}

/// The counts of one window; they stop at the largest u16.
pub(crate) struct Window {
    number: u64,
    cluster_bits: u32,
    /// Clusters of the file.
    clusters: u64,
    /// What the file says.
    stored: Vec<u16>,
    /// What the tables refer to.
    used: Vec<u16>,
}

impl Window {
    fn first(&self) -> u64 {
        self.number * WINDOW
    }

    /// The place in the window of the cluster that holds the byte.
    fn index(&self, offset: u64) -> Option<usize> {
        let cluster = (offset >> self.cluster_bits).checked_sub(self.first())?;
        usize::try_from(cluster).ok().filter(|index| *index < self.used.len())
    }

    /// Counts one reference to every cluster of the range.
    fn reference(&mut self, offset: u64, length: u64) {
        let Some(last) = length.checked_sub(1).and_then(|more| offset.checked_add(more)) else { return };
        let first = (offset >> self.cluster_bits).max(self.first());
        let end = ((last >> self.cluster_bits) + 1).min(self.first() + to_u64(self.used.len()));
        for cluster in first..end {
            if let Some(index) = self.index(cluster << self.cluster_bits)
                && let Some(count) = self.used.get_mut(index)
            {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Whether the file says that exactly one thing refers to the cluster; `None` outside of the window.
    fn is_single(&self, offset: u64) -> Option<bool> {
        self.stored.get(self.index(offset)?).map(|count| *count == 1)
    }
}

impl Image {
    /// A page of the check of refcounts and copied flags, at most `max` findings; it may be empty before the end.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, Qcow2Error> {
        let max = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        let number = start >> WINDOW_SHIFT;
        let mut checker = match self.checker.take() {
            Some(checker) if checker.window.number == number => checker,
            _ if start & PHASE == 0 && start & (PHASE - 1) != 0 => return Err(cannot_go_on()),
            _ => Checker::new(self.blob.as_ref(), &self.header, number)?,
        };
        let page = checker.page(self.blob.as_ref(), &self.header, start, max)?;
        self.checker = (!page.done).then_some(checker);
        Ok(page)
    }
}

impl Checker {
    fn new(blob: &dyn Blob, header: &Header, number: u64) -> Result<Self, Qcow2Error> {
        let clusters = blob.size().div_ceil(header.cluster());
        let first = number.checked_mul(WINDOW).filter(|first| *first <= clusters);
        let Some(first) = first else { return Err(cannot_go_on()) };
        let count = (clusters - first).min(WINDOW);
        let blocks = refcount_blocks(blob, header)?;
        let stored = refcounts::read(blob, header, &blocks, first, count)?;
        let used = vec![0; to_usize(count)?];
        let mut window = Window { number, cluster_bits: header.cluster_bits, clusters, stored, used };
        let walk = Walk::begin(blob, header, &blocks, &mut window)?;
        let pending = if number == 0 { notes(header) } else { Vec::new() };
        Ok(Self { window, walk, pending })
    }

    fn page(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        start: u64,
        max: usize,
    ) -> Result<Findings, Qcow2Error> {
        let comparing = start & PHASE != 0;
        if comparing {
            self.walk_again(blob, header)?;
        }
        let mut budget = BUDGET;
        while self.pending.len() < max && budget > 0 && !self.walk.is_done() {
            self.walk.step(blob, header, &mut self.window, &mut self.pending, &mut budget)?;
        }
        let walked = self.walk.is_done() && self.pending.len() <= max;
        let rest = self.pending.split_off(self.pending.len().min(max));
        let mut items = std::mem::replace(&mut self.pending, rest);
        if !walked {
            return Ok(Findings { items, resume: start + 1, done: false });
        }
        let from = if comparing { start & (PHASE - 1) } else { 0 };
        let window = self.window.number << WINDOW_SHIFT;
        let resume = match self.compare(from, max, &mut items)? {
            Some(next) => return Ok(Findings { items, resume: window | PHASE | next, done: false }),
            None => window + (1 << WINDOW_SHIFT),
        };
        let done = self.window.first() + WINDOW >= self.window.clusters;
        Ok(Findings { items, resume, done })
    }

    /// Walks to the end for an instance that is to go on comparing: what the walk finds was reported before.
    fn walk_again(&mut self, blob: &dyn Blob, header: &Header) -> Result<(), Qcow2Error> {
        self.pending.clear();
        let mut budget = u64::MAX;
        while !self.walk.is_done() {
            self.walk.step(blob, header, &mut self.window, &mut self.pending, &mut budget)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Compares the counts; the answer is where to go on.
    fn compare(&self, from: u64, max: usize, items: &mut Vec<Finding>) -> Result<Option<u64>, Qcow2Error> {
        let counts = self.window.stored.iter().zip(&self.window.used).enumerate().skip(to_usize(from)?);
        for (index, (stored, used)) in counts {
            if stored == used {
                continue;
            }
            if items.len() >= max {
                return Ok(Some(to_u64(index)));
            }
            let offset = (self.window.first() + to_u64(index)) << self.window.cluster_bits;
            let text = format!("the cluster at {offset:#x} has the refcount {stored}, and {used} references");
            let (severity, code) = if used > stored {
                (Severity::Error, "qcow2.refcount")
            } else {
                (Severity::Leak, "qcow2.leak")
            };
            items.push(finding(severity, code, text, offset));
        }
        Ok(None)
    }
}

fn cannot_go_on() -> Qcow2Error {
    Qcow2Error::Request("the check cannot go on from there; start again from 0".to_owned())
}

fn notes(header: &Header) -> Vec<Finding> {
    let mut notes = Vec::new();
    if header.dirty {
        notes.push(note("qcow2.dirty", "the image was not closed; refcounts may be behind"));
    }
    if header.corrupt {
        notes.push(note("qcow2.corrupt-flag", "the image says of itself that it is damaged"));
    }
    notes
}

fn note(code: &str, message: &str) -> Finding {
    Finding { severity: Severity::Note, code: code.to_owned(), message: message.to_owned(), offset: None }
}

fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
