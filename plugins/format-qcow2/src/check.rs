//! Refcounts against actual use, as `qemu-img check` compares them, with bounded memory.
//!
//! The file is looked at through windows of up to 32 Mi clusters: 2 TiB with clusters of 64 KiB.
//! For each window all tables are walked and the references into the window counted, a bounded
//! number of table bytes a call; then the counts are compared with what the file says. The resume
//! token is `window << 40 | phase << 39 | position`, so it only ever grows; an instance that does
//! not know a window walks it again, when it is to begin with it or to compare, and refuses to go
//! on in the middle of a walk that is not its own.

mod refcounts;
mod walk;
mod window;

use imprint_plugin_sdk::{
    format::{Finding, Findings, Severity},
    host::Blob,
};

use crate::{
    error::Qcow2Error, header::Header, image::Image, ranges::refcount_blocks, slices::BUDGET, wire::to_usize,
};
use walk::Walk;
use window::{Difference, Window};

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

impl Image {
    /// A page of the check of refcounts and copied flags, at most `max` findings; it may be empty
    /// before the end.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, Qcow2Error> {
        let max = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        let number = start >> WINDOW_SHIFT;
        // A window that is done goes before there is memory for the next one.
        let known = self.checker.take().filter(|checker| checker.window.number() == number);
        let mut checker = match known {
            Some(checker) => checker,
            None if start & PHASE == 0 && start & (PHASE - 1) != 0 => return Err(cannot_go_on()),
            None => Checker::new(self.blob.as_ref(), &self.header, number)?,
        };
        let page = checker.page(self.blob.as_ref(), &self.header, start, max)?;
        self.checker = (!page.done).then_some(checker);
        Ok(page)
    }
}

impl Checker {
    fn new(blob: &dyn Blob, header: &Header, number: u64) -> Result<Self, Qcow2Error> {
        let blocks = refcount_blocks(blob, header)?;
        let Some(mut window) = Window::read(blob, header, &blocks, number)? else {
            return Err(cannot_go_on());
        };
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
        let window = self.window.number() << WINDOW_SHIFT;
        let resume = match self.compare(from, max, &mut items)? {
            Some(next) => return Ok(Findings { items, resume: window | PHASE | next, done: false }),
            None => self.window.next() << WINDOW_SHIFT,
        };
        Ok(Findings { items, resume, done: self.window.is_last() })
    }

    /// Walks to the end for an instance that is to go on comparing: what the walk finds was
    /// reported before.
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
        for Difference { index, offset, stored, used } in self.window.differences(to_usize(from)?) {
            if items.len() >= max {
                return Ok(Some(index));
            }
            let text = format!("the cluster at {offset:#x} has the refcount {stored}, and {used} references");
            let (severity, code) = match used.exceeds(stored) {
                true => (Severity::Error, "qcow2.refcount"),
                false => (Severity::Leak, "qcow2.leak"),
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
