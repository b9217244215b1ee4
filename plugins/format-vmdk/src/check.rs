//! Consistency of the tables, with bounded memory: every entry of every grain table, against the
//! file, against its marker, and against the redundant tables. The resume token counts steps (the
//! header, then each table and its entries), so it only ever grows, and a step has at most one
//! finding.
//!
//! Whether two grains share bytes is seen over the whole map: that is the host's check.

use imprint_plugin_sdk::{
    format::{Finding, Findings, Severity},
    types::ByteRange,
};

use crate::{
    error::VmdkError,
    header::Grains,
    image::{Image, PartKind},
    map::{Grain, MARKER},
    source::end_of,
    sparse::Sparse,
    wire::{le32, sector, to_u64, to_usize},
};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
/// Grain tables of one call.
const TABLES: usize = 256;

impl Image {
    /// A page of findings from grain `start` on. Parts in other files are checked when they are
    /// opened by themselves.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, VmdkError> {
        let most = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
        match self.parts.first_mut().map(|part| &mut part.kind) {
            Some(PartKind::Sparse { source: 0, extent: Some(sparse) }) => sparse.check(start, most),
            Some(_) | None => Ok(Findings { items: Vec::new(), resume: start, done: true }),
        }
    }
}

impl Sparse {
    fn check(&mut self, start: u64, most: usize) -> Result<Findings, VmdkError> {
        let steps = self.header.entries + 1;
        let mut items = Vec::new();
        if start == 0 && self.header.unclean {
            let message = "the file was not closed after its last change".to_owned();
            items.push(finding(Severity::Note, "dirty", message, 72));
        }
        let mut at = start.max(1);
        for _ in 0..TABLES {
            let Some(index) = self.next_table(to_usize((at - 1) / steps)?) else {
                let resume = 1 + to_u64(self.directory.len()) * steps;
                return Ok(Findings { items, resume, done: true });
            };
            let first = 1 + to_u64(index) * steps;
            at = at.max(first);
            let table = self.table(index, &mut 1)?.to_vec();
            while at < first + steps {
                if items.len() >= most {
                    return Ok(Findings { items, resume: at, done: false });
                }
                items.extend(match to_usize(at - first)?.checked_sub(1) {
                    None => self.redundancy(index, &table)?,
                    Some(place) => {
                        let entry = le32(&table, place * 4).unwrap_or(0);
                        self.entry(to_u64(index) * self.header.entries + to_u64(place), entry)
                    }
                });
                at += 1;
            }
        }
        Ok(Findings { items, resume: at, done: false })
    }

    fn redundancy(&self, index: usize, table: &[u8]) -> Result<Option<Finding>, VmdkError> {
        if self.redundant.is_empty() {
            return Ok(None);
        }
        let message = match self.redundant_table(index)? {
            Some(copy) if copy == table => return Ok(None),
            Some(_) => format!("the redundant copy of grain table {index} differs from it"),
            None => format!("grain table {index} has no redundant copy"),
        };
        let offset = self.directory.get(index).map_or(0, |table| sector(*table));
        Ok(Some(finding(Severity::Error, "corrupt.redundant-table", message, offset)))
    }

    fn entry(&self, number: u64, entry: u32) -> Option<Finding> {
        let Grain::At(offset) = self.grain(entry) else { return None };
        let start = number * self.header.grain;
        if start >= self.header.capacity {
            let message = format!("grain {number} lies behind the end of the disk");
            return Some(finding(Severity::Error, "corrupt.table", message, offset));
        }
        let stored = match self.header.grains {
            Grains::Plain => {
                let length = self.header.grain.min(self.header.capacity - start);
                let stored = ByteRange { offset, length };
                if end_of(stored) > self.blob.size() {
                    let message = format!("grain {number} lies behind the end of the file");
                    return Some(finding(Severity::Error, "corrupt.truncated", message, offset));
                }
                stored
            }
            Grains::Framed => {
                let marker = self.markers(&[entry]);
                let length = marker.and_then(|marker| self.stored_length(&marker, start, offset));
                match length {
                    Ok(length) => ByteRange { offset, length: MARKER + u64::from(length) },
                    Err(error) => {
                        return Some(finding(Severity::Error, error.code(), error.to_string(), offset));
                    }
                }
            }
        };
        self.is_own(stored).then(|| {
            let message = format!("grain {number} lies in the image's own tables");
            finding(Severity::Error, "corrupt.aliased", message, offset)
        })
    }
}

fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
