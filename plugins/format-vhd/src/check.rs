//! Whether blocks lie where they may, none upon another, and whether space is lost.
//!
//! All findings of a check are made before the first is reported, because they are in the order of
//! the file: the table is read, the places of the blocks are sorted, and neighbours compared, a
//! bounded part in each call. Until then pages are empty and their tokens small; from [`FOUND`] on
//! a token is the index of the next finding.

use imprint_plugin_sdk::{
    format::{
        Budget, Finding, Findings, FormatError, Severity,
        blob::end_of,
        wire::{to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{blocks::Blocks, geometry::SECTOR, header::NO_BLOCK};

/// The entries that are looked at: those of the largest disk in the smallest blocks. A table may
/// have spare room behind them, as XenServer's always has.
const MAX_ENTRIES: u64 = 4 << 20;
/// The most findings of a check.
const MAX_FINDINGS: usize = 10_000;
/// Tokens from here on are of findings.
const FOUND: u64 = 1 << 32;
/// The price of a finding, in entries: its text is made.
const FINDING_PRICE: u64 = 128;
/// More places than this are sorted in a call of their own.
const SORTED_AT_ONCE: usize = 1 << 16;

/// The check of an open image.
#[derive(Default)]
pub(crate) struct Check {
    stage: Stage,
    findings: Vec<Finding>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    /// The entries of the table from `next` on are to be looked at.
    Table {
        next: u64,
        places: Vec<u32>,
    },
    Sort {
        places: Vec<u32>,
    },
    /// The places from `next` on are to be compared with what ends at `free_from`.
    Compare {
        places: Vec<u32>,
        next: usize,
        free_from: u64,
    },
    Done,
}

/// What of an image is checked.
pub(crate) struct Checked<'a> {
    pub(crate) blob: &'a dyn Blob,
    /// `None` for a fixed disk.
    pub(crate) blocks: Option<&'a mut Blocks>,
    /// Where the image's tables are.
    pub(crate) tables: &'a [ByteRange],
    /// Codes and texts about the whole image.
    pub(crate) remarks: Vec<(&'static str, String)>,
}

impl Check {
    /// Returns a page of the findings, at most `max`; it may be empty before the end.
    pub(crate) fn page(
        &mut self,
        checked: Checked<'_>,
        start: u64,
        max: u32,
    ) -> Result<Findings, FormatError> {
        let Checked { blob, blocks, tables, remarks } = checked;
        if start == 0 {
            let note = |(code, message): (&str, String)| finding(Severity::Note, code, message, None);
            self.findings = remarks.into_iter().map(note).collect();
            let places = Vec::new();
            self.stage = if blocks.is_some() { Stage::Table { next: 0, places } } else { Stage::Done };
        }
        let is_done = matches!(self.stage, Stage::Done);
        if matches!(self.stage, Stage::Idle) || (start >= FOUND) != is_done && start != 0 {
            return Err(FormatError::Request(
                "the check cannot continue from there; start again from 0".to_owned(),
            ));
        }
        if let Some(blocks) = blocks {
            let ends = tables.iter().map(|table| end_of(*table));
            let first = ends.filter(|end| *end <= blocks.data_end).max().unwrap_or(0);
            let mut budget = Budget::of_a_call();
            while budget.is_left() && !matches!(self.stage, Stage::Done) {
                self.step(blob, blocks, first, &mut budget)?;
            }
        }
        if !matches!(self.stage, Stage::Done) {
            return Ok(Findings { items: Vec::new(), resume: start + 1, done: false });
        }
        let skip = to_usize(start.saturating_sub(FOUND))?.min(self.findings.len());
        let end = self.findings.len().min(skip.saturating_add(to_usize(max.max(1).into())?));
        let items = self.findings.get(skip..end).unwrap_or_default().to_vec();
        Ok(Findings { items, resume: FOUND + to_u64(end), done: end == self.findings.len() })
    }

    fn step(
        &mut self,
        blob: &dyn Blob,
        blocks: &mut Blocks,
        first: u64,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Table { next, places } => self.read_table(blob, blocks, next, places, budget)?,
            Stage::Sort { mut places } => {
                places.sort_unstable();
                if places.len() > SORTED_AT_ONCE {
                    budget.use_up();
                }
                Stage::Compare { places, next: 0, free_from: first }
            }
            Stage::Compare { places, next, free_from } => {
                self.compare(blocks, first, (places, next, free_from), budget)
            }
            done @ (Stage::Idle | Stage::Done) => done,
        };
        Ok(())
    }

    fn read_table(
        &mut self,
        blob: &dyn Blob,
        blocks: &mut Blocks,
        mut next: u64,
        mut places: Vec<u32>,
        budget: &mut Budget,
    ) -> Result<Stage, FormatError> {
        let entries = u64::from(blocks.header.entries).min(MAX_ENTRIES);
        while next < entries && budget.is_left() {
            let (index, sector) = (next, blocks.bat.entry(blob, next)?);
            next += 1;
            budget.spend(1);
            if sector == NO_BLOCK {
                continue;
            }
            if index >= blocks.bat.blocks() {
                let text = format!("the block {index} is behind the end of the disk");
                self.push(Severity::Leak, "vhd.leak", text, u64::from(sector) * SECTOR, budget);
            } else if let Err(error) = blocks.bat.place(index, sector) {
                let offset = u64::from(sector) * SECTOR;
                self.push(Severity::Error, error.code(), error.to_string(), offset, budget);
                continue;
            }
            places.push(sector);
        }
        if next < entries {
            return Ok(Stage::Table { next, places });
        }
        if places.len() > SORTED_AT_ONCE {
            budget.use_up();
        }
        Ok(Stage::Sort { places })
    }

    /// Finds blocks upon each other and gaps between them, in the order of the file.
    fn compare(
        &mut self,
        blocks: &Blocks,
        first: u64,
        (places, mut next, mut free_from): (Vec<u32>, usize, u64),
        budget: &mut Budget,
    ) -> Stage {
        let whole = blocks.whole();
        while let Some(sector) = places.get(next).filter(|_| budget.is_left()) {
            let offset = u64::from(*sector) * SECTOR;
            match offset.checked_sub(free_from) {
                None if offset >= first => {
                    let text = format!("the block at {offset:#x} shares bytes with another one");
                    self.push(Severity::Error, "corrupt.aliased", text, offset, budget);
                }
                Some(gap) if gap >= whole => self.leak(free_from, gap, whole, budget),
                None | Some(_) => {}
            }
            free_from = free_from.max(offset + whole);
            next += 1;
            budget.spend(1);
        }
        if next < places.len() {
            return Stage::Compare { places, next, free_from };
        }
        let rest = blocks.data_end.saturating_sub(free_from);
        if rest >= whole {
            self.leak(free_from, rest, whole, budget);
        }
        Stage::Done
    }

    fn leak(&mut self, from: u64, gap: u64, whole: u64, budget: &mut Budget) {
        let text = format!("{gap} bytes at {from:#x} belong to no block: room for {}", gap / whole);
        self.push(Severity::Leak, "vhd.leak", text, from, budget);
    }

    fn push(&mut self, severity: Severity, code: &str, text: String, offset: u64, budget: &mut Budget) {
        budget.spend(FINDING_PRICE);
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding(severity, code, text, Some(offset)));
        }
    }
}

fn finding(severity: Severity, code: &str, message: String, offset: Option<u64>) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset }
}
