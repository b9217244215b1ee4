//! Whether blocks lie where they may, none upon another, and whether space is lost.

use imprint_plugin_sdk::format::{Finding, Findings, Severity};

use crate::{
    error::VhdError,
    header::NO_BLOCK,
    image::{Blocks, Image},
    source::end_of,
    wire::{SECTOR, to_u64, to_usize},
};

/// The most findings of a check.
const MAX_FINDINGS: usize = 10_000;

impl Image {
    /// A page of the findings, at most `max`. The first call looks at the whole table: 16 MiB of it
    /// for the largest disk.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, VhdError> {
        let findings = match self.found.take() {
            Some(findings) => findings,
            None => self.look()?,
        };
        let skip = to_usize(start)?.min(findings.len());
        let end = findings.len().min(skip.saturating_add(to_usize(max.max(1).into())?));
        let items = findings.get(skip..end).unwrap_or_default().to_vec();
        let done = end == findings.len();
        self.found = Some(findings);
        Ok(Findings { items, resume: to_u64(end), done })
    }

    fn look(&mut self) -> Result<Vec<Finding>, VhdError> {
        let mut findings: Vec<Finding> = self
            .remarks()
            .into_iter()
            .map(|(code, message)| finding(Severity::Note, code, message, None))
            .collect();
        let tables_end = self.tables.iter().map(|table| end_of(*table));
        let Some(blocks) = &mut self.blocks else { return Ok(findings) };
        let first = tables_end.filter(|end| *end <= blocks.data_end).max().unwrap_or(0);
        let mut places = Vec::new();
        for index in 0..blocks.header.entries.into() {
            let sector = blocks.bat.entry(self.blob.as_ref(), index)?;
            if sector == NO_BLOCK {
                continue;
            }
            if index >= blocks.bat.blocks() {
                let text = format!("the block {index} is behind the end of the disk");
                push(&mut findings, Severity::Leak, "vhd.leak", text, sector);
            } else if let Err(error) = blocks.bat.place(index, sector) {
                push(&mut findings, Severity::Error, error.code(), error.to_string(), sector);
                continue;
            }
            places.push(sector);
        }
        places.sort_unstable();
        compare_neighbours(blocks, first, &places, &mut findings);
        Ok(findings)
    }
}

/// Finds blocks upon each other and gaps between them, in the order of the file.
fn compare_neighbours(blocks: &Blocks, first: u64, places: &[u32], findings: &mut Vec<Finding>) {
    let whole = blocks.bat.bitmap_size() + blocks.bat.block_size();
    let mut free_from = first;
    for sector in places {
        let offset = u64::from(*sector) * SECTOR;
        match offset.checked_sub(free_from) {
            None if offset >= first => {
                let text = format!("the block at {offset:#x} shares bytes with another one");
                push(findings, Severity::Error, "corrupt.aliased", text, *sector);
            }
            Some(gap) if gap >= whole => leak(findings, free_from, gap, whole),
            None | Some(_) => {}
        }
        free_from = free_from.max(offset + whole);
    }
    let rest = blocks.data_end.saturating_sub(free_from);
    if rest >= whole {
        leak(findings, free_from, rest, whole);
    }
}

fn leak(findings: &mut Vec<Finding>, from: u64, gap: u64, whole: u64) {
    let text = format!("{gap} bytes at {from:#x} belong to no block: room for {}", gap / whole);
    if findings.len() < MAX_FINDINGS {
        findings.push(finding(Severity::Leak, "vhd.leak", text, Some(from)));
    }
}

fn push(findings: &mut Vec<Finding>, severity: Severity, code: &str, text: String, sector: u32) {
    if findings.len() < MAX_FINDINGS {
        findings.push(finding(severity, code, text, Some(u64::from(sector) * SECTOR)));
    }
}

fn finding(severity: Severity, code: &str, message: String, offset: Option<u64>) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset }
}
