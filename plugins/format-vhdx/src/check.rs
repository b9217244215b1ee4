//! The copies of headers and region table, the whole BAT, and space that is lost: a bounded part in
//! each call.
//!
//! A token below [`SCAN`] is one of the findings about the whole image; from there on it counts the
//! calls that look at the table; from [`FREE`] on it is `FREE + n` and continues at MiB `n` of the
//! file. A check belongs to the instance that began it.

use imprint_plugin_sdk::format::{
    Budget, Finding, Findings, FormatError, Severity,
    wire::{to_u64, to_usize},
};

use crate::{
    bat::{Payload, Shape, Subject, Window, bitmap_in_file},
    header::{Front, HEADERS, MIB, Slot},
    region::{REGION_TABLES, Regions, valid_copy},
    tables::Tables,
    used::Used,
};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
/// Findings about the whole image are below this.
const SCAN: u64 = 8;
/// Space that is not in use.
const FREE: u64 = 1 << 32;
/// The price of a finding, in entries: its text is made.
const FINDING_PRICE: u64 = 128;

/// What of an image is checked.
pub(crate) struct Checked<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) front: &'a Front,
    pub(crate) regions: &'a Regions,
    pub(crate) shape: &'a Shape,
}

/// The check of an open image.
#[derive(Default)]
pub(crate) struct Check {
    scan: Option<Scan>,
}

/// What is known of the table so far.
struct Scan {
    /// What is in use.
    used: Used,
    /// Blocks that read as zeroes may keep their space.
    set_aside: Used,
    window: Window,
    /// The next entry.
    next: u64,
    /// A block of the chunk is partially present.
    partial: bool,
}

impl Check {
    /// Returns a page of findings, at most `max`; it may be empty before the end.
    pub(crate) fn page(
        &mut self,
        checked: &Checked<'_>,
        start: u64,
        max: u32,
    ) -> Result<Findings, FormatError> {
        let max = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        let mut items: Vec<Finding> = Vec::new();
        if start < SCAN {
            let general = checked.general()?;
            let skip = to_usize(start)?;
            items.extend(general.iter().skip(skip).take(max).cloned());
            if skip + items.len() < general.len() {
                return Ok(Findings { resume: start + to_u64(items.len()), items, done: false });
            }
            self.scan = Some(Scan::begin(checked)?);
        }
        let Some(scan) = &mut self.scan else {
            return Err(FormatError::Request(
                "the check cannot continue from there; start again from 0".to_owned(),
            ));
        };
        if start < FREE {
            let mut budget = Budget::of_a_call();
            while scan.next < checked.shape.entries() {
                if !budget.is_left() || items.len() >= max {
                    return Ok(Findings { items, resume: start.max(SCAN) + 1, done: false });
                }
                scan.step(checked, &mut items, max, &mut budget)?;
            }
            scan.used.include(&scan.set_aside);
        }
        let mut mib = start.saturating_sub(FREE);
        while let Some((first, end)) = scan.used.next_free(mib) {
            if items.len() >= max {
                return Ok(Findings { items, resume: FREE + first, done: false });
            }
            let (offset, length) = (first * MIB, (end - first) * MIB);
            let text = format!("nothing refers to {length} bytes at {offset:#x}");
            items.push(finding(Severity::Leak, "vhdx.leak", text, offset));
            mib = end;
        }
        let end = FREE + checked.tables.size().div_ceil(MIB);
        Ok(Findings { items, resume: end, done: true })
    }
}

impl Checked<'_> {
    /// At most five, always in the same order.
    fn general(&self) -> Result<Vec<Finding>, FormatError> {
        let mut found = Vec::new();
        for (slot, at) in self.front.slots.iter().zip(HEADERS) {
            if let Slot::Invalid { .. } = slot {
                let text = "one of the two headers is not valid; the other one counts".to_owned();
                found.push(finding(Severity::Note, "vhdx.header", text, at));
            }
        }
        let [first, second] = REGION_TABLES.map(|at| valid_copy(self.tables, at));
        let copies = [first?, second?];
        for (copy, at) in copies.iter().zip(REGION_TABLES) {
            if copy.is_none() {
                let text = "one of the two region tables is not valid; the other one counts".to_owned();
                found.push(finding(Severity::Note, "vhdx.region-table", text, at));
            }
        }
        if let [Some(one), Some(two)] = &copies
            && one != two
        {
            let text = "the two region tables differ; the first one counts".to_owned();
            found.push(finding(Severity::Error, "vhdx.region-table", text, REGION_TABLES[1]));
        }
        if self.front.current.is_dirty() {
            let text = "the image was not closed; it is read as its log says".to_owned();
            found.push(finding(Severity::Note, "vhdx.log", text, self.front.current.log.offset));
        }
        Ok(found)
    }
}

impl Scan {
    fn begin(checked: &Checked<'_>) -> Result<Self, FormatError> {
        let file = checked.tables.size();
        let mut used = Used::none_of(file)?;
        used.claim(0, MIB);
        for region in &checked.regions.all {
            used.claim(region.offset, region.length);
        }
        let set_aside = Used::none_of(file)?;
        Ok(Self { used, set_aside, window: Window::default(), next: 0, partial: false })
    }

    /// Looks at the next entries, until the budget is used up or there are `max` findings.
    fn step(
        &mut self,
        checked: &Checked<'_>,
        items: &mut Vec<Finding>,
        max: usize,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        let Checked { tables, shape, .. } = *checked;
        let mut window = std::mem::take(&mut self.window);
        for entry in window.entries(tables, shape, self.next)? {
            if !budget.is_left() || items.len() >= max {
                break;
            }
            let found = match shape.subject(self.next) {
                Subject::Bitmap(chunk) => self.bitmap(tables, shape, chunk, entry),
                Subject::Block(block) => self.payload(tables, shape, block, entry, budget),
            };
            if let Err(error) = found {
                budget.spend(FINDING_PRICE);
                let offset = shape.place_of(self.next);
                items.push(finding(Severity::Error, error.code(), error.to_string(), offset));
            }
            budget.spend(1);
            self.next += 1;
        }
        self.window = window;
        Ok(())
    }

    fn payload(
        &mut self,
        tables: &Tables,
        shape: &Shape,
        block: u64,
        entry: u64,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        if block >= shape.blocks() {
            return Ok(());
        }
        let offset = match shape.payload(block, entry)? {
            Payload::NotPresent | Payload::Zero(0) => return Ok(()),
            Payload::Zero(offset) => {
                budget.spend(shape.block / MIB);
                self.set_aside.claim(offset, shape.block);
                return Ok(());
            }
            Payload::Full(offset) => offset,
            Payload::Partial(offset) => {
                self.partial = true;
                offset
            }
        };
        shape.check_stored(tables, block, offset)?;
        budget.spend(shape.block / MIB);
        self.claim("block", block, offset, shape.block)
    }

    /// The bitmap of a chunk. Images without a parent have none, and what stands there is ignored,
    /// as QEMU 8.0 and older left anything there.
    fn bitmap(&mut self, tables: &Tables, shape: &Shape, chunk: u64, entry: u64) -> Result<(), FormatError> {
        let partial = std::mem::take(&mut self.partial);
        if !shape.differencing {
            return Ok(());
        }
        match bitmap_in_file(tables, chunk, entry)? {
            Some(offset) => self.claim("bitmap", chunk, offset, MIB),
            None if partial => Err(FormatError::Table(format!(
                "chunk {chunk} has blocks that are partially present, and no bitmap of its sectors"
            ))),
            None => Ok(()),
        }
    }

    fn claim(&mut self, what: &str, number: u64, offset: u64, length: u64) -> Result<(), FormatError> {
        if self.used.claim(offset, length) {
            return Ok(());
        }
        Err(FormatError::Aliased(format!(
            "{what} {number} at {offset:#x} of the file shares bytes with something else"
        )))
    }
}

fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
