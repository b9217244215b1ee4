//! The copies of headers and region table, and space that nobody uses. What makes an image
//! unreadable, overlaps included, is refused when it is opened.

use imprint_plugin_sdk::format::{Finding, Findings, Severity};

use crate::{
    bat::{Payload, Used},
    error::VhdxError,
    header::{HEADERS, MIB, Slot},
    image::Image,
    region::{REGION_TABLES, valid_copy},
};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
/// Findings about the whole image; what comes behind them is about space.
const GENERAL: u64 = 8;

/// What is in use, the space included that is set aside for empty blocks.
pub(crate) struct Checker {
    used: Used,
}

impl Image {
    /// A page of findings: `start` below 8 is one of those about the whole image, `8 + n` goes on
    /// at MiB `n` of the file.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, VhdxError> {
        let max = usize::try_from(max.clamp(1, MAX_FINDINGS)).expect("at most 4096");
        let mut items: Vec<Finding> = Vec::new();
        if start < GENERAL {
            let general = self.general()?;
            let skip = usize::try_from(start).expect("below 8");
            items.extend(general.iter().skip(skip).take(max).cloned());
            if skip + items.len() < general.len() {
                return Ok(Findings {
                    resume: start + u64::try_from(items.len()).expect("a few"),
                    items,
                    done: false,
                });
            }
        }
        let checker = match self.checker.take() {
            Some(checker) => checker,
            None => Checker { used: self.set_aside()? },
        };
        let mut mib = start.saturating_sub(GENERAL);
        while let Some((first, end)) = checker.used.next_free(mib) {
            if items.len() >= max {
                self.checker = Some(checker);
                return Ok(Findings { items, resume: GENERAL + first, done: false });
            }
            let (offset, length) = (first * MIB, (end - first) * MIB);
            let text = format!("nothing refers to {length} bytes at {offset:#x}");
            items.push(finding(Severity::Leak, "vhdx.leak", text, offset));
            mib = end;
        }
        let end = GENERAL + self.tables.size().div_ceil(MIB);
        Ok(Findings { items, resume: end, done: true })
    }

    /// At most five, always in the same order.
    fn general(&self) -> Result<Vec<Finding>, VhdxError> {
        let mut found = Vec::new();
        for (slot, at) in self.front.slots.iter().zip(HEADERS) {
            if let Slot::Invalid { .. } = slot {
                let text = "one of the two headers is not valid; the other one counts".to_owned();
                found.push(finding(Severity::Note, "vhdx.header", text, at));
            }
        }
        let [first, second] = REGION_TABLES.map(|at| valid_copy(&self.tables, at));
        let copies = [first?, second?];
        for (copy, at) in copies.iter().zip(REGION_TABLES) {
            if copy.is_none() {
                let text = "one of the two region tables is not valid; the other one counts".to_owned();
                found.push(finding(Severity::Error, "vhdx.region-table", text, at));
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

    /// Blocks that read as zeroes may keep their space.
    fn set_aside(&mut self) -> Result<Used, VhdxError> {
        let (mut used, shape) = (self.used.clone(), self.shape);
        let (entries, stride) = (shape.entries(), shape.chunk_ratio() + 1);
        let mut index = 0;
        while index < entries {
            let mut seen = 0;
            for entry in self.window.entries(&self.tables, &shape, index)? {
                let at = index + seen;
                let block = at - at / stride;
                if at % stride != stride - 1
                    && block < shape.blocks()
                    && let Payload::Zero(offset @ 1..) = shape.payload(block, entry)?
                {
                    used.claim(offset, shape.block);
                }
                seen += 1;
            }
            index += seen;
        }
        Ok(used)
    }
}

fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
