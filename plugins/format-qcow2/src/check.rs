//! Refcounts against actual use, as `qemu-img check` compares them, with bounded memory and a
//! bounded amount of work in each call.
//!
//! The file is checked in windows of up to 32 Mi clusters: 2 TiB with clusters of 64 KiB. A pass
//! over one window has stages: how wide the window can be, the refcounts that the file has for it,
//! the references from all tables of the image into it, and the comparison of both. Each goes in
//! slices of one [`Budget`]. The resume token is `window << 40 | comparing << 39 | position`, so it
//! only ever grows. An instance that does not know a window can begin with it, and repeats the
//! stages before the comparison when it is to compare; it refuses to continue in the middle of a
//! walk that is not its own.

mod findings;
mod refcounts;
mod roots;
mod walk;
mod window;

use imprint_plugin_sdk::{
    format::{Budget, Finding, Findings, FormatError, wire::to_usize},
    host::Blob,
};

use crate::{header::Header, ranges::refcount_blocks};
use findings::notes;
use refcounts::Refcounts;
use roots::Roots;
use walk::{Pending, Walk};
use window::{Loading, Plan, Window};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
const WINDOW_SHIFT: u32 = 40;
const COMPARING: u64 = 1 << 39;
const POSITION: u64 = COMPARING - 1;
/// The lowest bits of a position of the comparison count the calls that did not advance it: those
/// that repeat the stages before it.
const REPEATED_SHIFT: u32 = 13;
const REPEATED: u64 = (1 << REPEATED_SHIFT) - 1;

/// The check of an open image.
#[derive(Default)]
pub(crate) struct Check {
    pass: Option<Pass>,
}

/// The pass over one window.
struct Pass {
    /// The window begins at this unit of the file.
    number: u64,
    refcount_blocks: Vec<u64>,
    /// Found, and not yet reported: at most what a part of one table yields more than was asked
    /// for.
    pending: Vec<Finding>,
    /// What is found before the comparison was reported by another instance.
    repeats: bool,
    stage: Stage,
}

enum Stage {
    Plan(Plan),
    Load(Loading),
    Roots(Window, Roots),
    Walk(Window, Walk),
    Compare(Window),
    /// Only while one stage becomes the next.
    Changing,
}

impl Check {
    /// Returns a page of the check of refcounts and copied flags, at most `max` findings; it may be
    /// empty before the end.
    pub(crate) fn page(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        start: u64,
        max: u32,
    ) -> Result<Findings, FormatError> {
        let max = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        let number = start >> WINDOW_SHIFT;
        let begins = start & (COMPARING | POSITION) == 0;
        // A window that is done goes before there is memory for the next one.
        let known = self.pass.take().filter(|pass| !begins && pass.is_at(start));
        let mut pass = match known {
            Some(pass) => pass,
            None if begins || start & COMPARING != 0 => Pass::begin(blob, header, number, !begins)?,
            None => return Err(cannot_continue()),
        };
        let page = pass.page(blob, header, start, max)?;
        self.pass = (!page.done).then_some(pass);
        Ok(page)
    }
}

impl Pass {
    fn begin(blob: &dyn Blob, header: &Header, number: u64, repeats: bool) -> Result<Self, FormatError> {
        let plan = Plan::begin(blob, header, number).ok_or_else(cannot_continue)?;
        let pending = if number == 0 { notes(header) } else { Vec::new() };
        let refcount_blocks = refcount_blocks(blob, header)?;
        Ok(Self { number, refcount_blocks, pending, repeats, stage: Stage::Plan(plan) })
    }

    fn is_at(&self, token: u64) -> bool {
        let comparing = self.repeats || matches!(self.stage, Stage::Compare(_));
        self.number == token >> WINDOW_SHIFT && comparing == (token & COMPARING != 0)
    }

    fn page(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        start: u64,
        max: usize,
    ) -> Result<Findings, FormatError> {
        let first = self.number << WINDOW_SHIFT;
        let mut position = if start & COMPARING != 0 { (start & POSITION) >> REPEATED_SHIFT } else { 0 };
        let mut budget = Budget::of_a_call();
        let mut items = Vec::new();
        while budget.is_left() && items.len() < max {
            if let Stage::Compare(window) = &self.stage {
                let next = window.compare(to_usize(position)?, max, &mut items, &mut budget);
                let Some(next) = next else {
                    let resume = window.next() << WINDOW_SHIFT;
                    return Ok(Findings { items, resume, done: window.is_last() });
                };
                position = next;
                continue;
            }
            let room = max - items.len();
            self.step(blob, header, room, &mut budget)?;
            if self.repeats {
                self.pending.clear();
            }
            items.extend(self.pending.drain(..self.pending.len().min(room)));
        }
        let comparing = self.repeats || matches!(self.stage, Stage::Compare(_));
        let at = first | COMPARING | position << REPEATED_SHIFT;
        let resume = if comparing && at > start { at } else { start + 1 };
        if comparing && resume & REPEATED == REPEATED {
            return Err(cannot_continue());
        }
        Ok(Findings { items, resume, done: false })
    }

    /// Does a part of a stage before the comparison; the next one begins when it is done and
    /// everything that it found was reported.
    fn step(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        room: usize,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        let refcounts = Refcounts { blob, header, blocks: &self.refcount_blocks };
        self.stage = match std::mem::replace(&mut self.stage, Stage::Changing) {
            Stage::Plan(mut plan) => {
                if plan.step(&refcounts, budget)? {
                    Stage::Load(Loading::begin(&plan)?)
                } else {
                    Stage::Plan(plan)
                }
            }
            Stage::Load(mut loading) => {
                if loading.step(&refcounts, budget)? {
                    Stage::Roots(loading.window, Roots::begin(header))
                } else {
                    Stage::Load(loading)
                }
            }
            Stage::Roots(mut window, mut roots) => {
                if roots.step(blob, header, &self.refcount_blocks, &mut window, budget)? {
                    Stage::Walk(window, Walk::begin(roots))
                } else {
                    Stage::Roots(window, roots)
                }
            }
            Stage::Walk(mut window, mut walk) => {
                if !walk.is_done() && self.pending.len() < room {
                    let pending = Pending { findings: &mut self.pending, most: room };
                    walk.step(blob, header, &mut window, pending, budget)?;
                }
                if walk.is_done() && self.pending.len() <= room {
                    Stage::Compare(window)
                } else {
                    Stage::Walk(window, walk)
                }
            }
            unchanged @ (Stage::Compare(_) | Stage::Changing) => unchanged,
        };
        Ok(())
    }
}

fn cannot_continue() -> FormatError {
    FormatError::Request("the check cannot continue from there; start again from 0".to_owned())
}
