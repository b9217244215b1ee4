//! The map against the header's count and the file, a bounded part in each call.
//!
//! A token below [`UNUSED`] counts the calls that look at the map; from there on it is `UNUSED + n`
//! and continues at block `n` of the file. A check belongs to the instance that began it.

use imprint_plugin_sdk::{
    format::{Budget, Finding, Findings, FormatError, Severity, wire::to_usize},
    host::Blob,
};

use crate::{
    header::Header,
    map::{Entry, Window, stored_at},
    used::Used,
};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
/// Tokens from here on are of blocks that are not in use.
const UNUSED: u64 = 1 << 32;
/// The price of a finding, in entries: its text is made.
const FINDING_PRICE: u64 = 128;

/// The check of an open image.
#[derive(Default)]
pub(crate) struct Check {
    scan: Option<Scan>,
}

/// What is known of the map so far. Memory: a bit for each block of the disk, at most 8 MiB.
struct Scan {
    used: Used,
    window: Window,
    /// The next block of the disk.
    next: u64,
}

impl Check {
    /// Returns a page of findings, at most `max`; it may be empty before the end.
    pub(crate) fn page(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        start: u64,
        max: u32,
    ) -> Result<Findings, FormatError> {
        let max = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        if start == 0 {
            self.scan = Some(Scan { used: Used::none_of(header), window: Window::default(), next: 0 });
        }
        let Some(scan) = &mut self.scan else {
            return Err(FormatError::Request(
                "the check cannot continue from there; start again from 0".to_owned(),
            ));
        };
        let mut items = Vec::new();
        if start < UNUSED {
            let mut budget = Budget::of_a_call();
            while scan.next < header.blocks.into() {
                if !budget.is_left() || items.len() >= max {
                    return Ok(Findings { items, resume: start + 1, done: false });
                }
                scan.step(blob, header, &mut items, max, &mut budget)?;
            }
            if items.len() >= max {
                return Ok(Findings { items, resume: start + 1, done: false });
            }
            items.extend(count_finding(header, &scan.used));
        }
        let stored = blob.size().saturating_sub(header.data_offset) / header.block;
        // Whatever lies behind that many blocks cannot be named by a map.
        let end = stored.min(header.blocks.into());
        let mut number = start.saturating_sub(UNUSED);
        while let Some(leaked) = scan.used.next_unused(number, end) {
            if items.len() >= max {
                return Ok(Findings { items, resume: UNUSED + leaked, done: false });
            }
            items.push(Finding {
                severity: Severity::Leak,
                code: "vdi.leak".to_owned(),
                message: format!("block {leaked} of the file is not in the map"),
                offset: Some(header.data_offset + leaked * header.block),
            });
            number = leaked + 1;
        }
        Ok(Findings { items, resume: UNUSED + end, done: true })
    }
}

impl Scan {
    /// Looks at the next entries, until the budget is used up or there are `max` findings.
    fn step(
        &mut self,
        blob: &dyn Blob,
        header: &Header,
        items: &mut Vec<Finding>,
        max: usize,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        let file = blob.size();
        for entry in self.window.entries(blob, header, self.next)? {
            if !budget.is_left() || items.len() >= max {
                break;
            }
            if let Entry::Stored(number) = entry
                && let Err(error) =
                    stored_at(header, file, self.next, number).and_then(|_| self.used.claim(number))
            {
                budget.spend(FINDING_PRICE);
                items.push(Finding {
                    severity: Severity::Error,
                    code: error.code().to_owned(),
                    message: error.to_string(),
                    offset: Some(header.map_offset + self.next * 4),
                });
            }
            budget.spend(1);
            self.next += 1;
        }
        Ok(())
    }
}

fn count_finding(header: &Header, used: &Used) -> Option<Finding> {
    let (stated, used) = (u64::from(header.allocated), used.count());
    // VirtualBox leaves the count behind when blocks are discarded; the map decides.
    (stated != used).then(|| Finding {
        severity: Severity::Note,
        code: "vdi.allocated".to_owned(),
        message: format!("the header counts {stated} stored blocks, and the map has {used}"),
        offset: Some(0x184),
    })
}
