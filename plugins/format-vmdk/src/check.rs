//! Consistency of the tables, with bounded memory and a bounded amount of work in each call: every
//! entry of every grain table, against the file, against its marker, and against the redundant
//! tables. The resume token counts steps (the header, then each table and its entries), so it only
//! ever grows, and a step has at most one finding.
//!
//! Whether two grains share bytes is seen over the whole map: that is the host's check.

use imprint_plugin_sdk::{
    format::{
        Budget, Finding, Findings, FormatError, Severity,
        blob::end_of,
        wire::{le32s, to_u64, to_usize},
    },
    types::ByteRange,
};

use crate::{
    header::{Grains, MARKER},
    sector::sector,
    sparse::{Grain, Sparse},
};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;
/// Entries whose markers are read at once.
const AT_ONCE: usize = 512;
/// The price of an entry, in entries of a table that is only looked through: it is compared with
/// the image's own tables, and its marker is read.
const ENTRY_PRICE: u64 = 32;
/// The price of a redundant table: it is read by itself.
const COPY_PRICE: u64 = 4096;
/// The price of a finding: its text is made.
const FINDING_PRICE: u64 = 128;

/// Returns a page of findings from step `start` on, at most `max`; it may be empty before the end.
pub(crate) fn page(sparse: &mut Sparse, start: u64, max: u32) -> Result<Findings, FormatError> {
    let most = to_usize(max.clamp(1, MAX_FINDINGS).into())?;
    let steps = sparse.header.entries + 1;
    let mut items = Vec::new();
    if start == 0 {
        let odd = sparse.remarks.iter().map(|text| Finding {
            severity: Severity::Note,
            code: "vmdk.odd".to_owned(),
            message: text.clone(),
            offset: None,
        });
        items.extend(odd.take(most));
        if sparse.header.unclean && items.len() < most {
            let message = "the file was not closed after its last change".to_owned();
            items.push(finding(Severity::Note, "dirty", message, 72));
        }
    }
    let mut at = start.max(1);
    let mut budget = Budget::of_a_call();
    while budget.is_left() && items.len() < most {
        let Some(index) = sparse.next_table(to_usize((at - 1) / steps)?) else {
            let resume = 1 + to_u64(sparse.directory.len()) * steps;
            return Ok(Findings { items, resume, done: true });
        };
        let first = 1 + to_u64(index) * steps;
        at = at.max(first);
        let table: Vec<u32> = le32s(sparse.table(index)?).collect();
        if at == first {
            items.extend(redundancy(sparse, index, &table)?);
            budget.spend(COPY_PRICE);
            at += 1;
        }
        while at < first + steps && budget.is_left() && items.len() < most {
            let place = to_usize(at - first)? - 1;
            let entries = table.get(place..table.len().min(place + AT_ONCE)).unwrap_or_default();
            let number = to_u64(index) * sparse.header.entries + to_u64(place);
            let done = self::entries(sparse, number, entries, most, &mut items, &mut budget);
            at += to_u64(done).max(1);
        }
    }
    Ok(Findings { items, resume: at, done: false })
}

fn redundancy(sparse: &Sparse, index: usize, table: &[u32]) -> Result<Option<Finding>, FormatError> {
    if sparse.redundant.is_empty() {
        return Ok(None);
    }
    let message = match sparse.redundant_table(index)? {
        Some(copy) if le32s(&copy).eq(table.iter().copied()) => return Ok(None),
        Some(_) => format!("the redundant copy of grain table {index} differs from it"),
        None => format!("grain table {index} has no redundant copy"),
    };
    let offset = sparse.directory.get(index).map_or(0, |table| sector(*table));
    Ok(Some(finding(Severity::Error, "corrupt.redundant-table", message, offset)))
}

/// Checks entries, the first of which is that of grain `number`, until there are `most` findings;
/// returns how many were checked.
fn entries(
    sparse: &Sparse,
    number: u64,
    entries: &[u32],
    most: usize,
    items: &mut Vec<Finding>,
    budget: &mut Budget,
) -> usize {
    // The markers of all grains that have one, read together; where that fails, one by one.
    let framed = sparse.header.grains == Grains::Framed;
    let mut markers = framed.then(|| sparse.markers(entries).ok()).flatten();
    let mut taken = 0;
    for (done, (entry, number)) in entries.iter().zip(number..).enumerate() {
        if items.len() >= most || !budget.is_left() {
            return done;
        }
        let Grain::At(offset) = sparse.grain(*entry) else {
            budget.spend(1);
            continue;
        };
        let marker = markers.as_mut().and_then(|all| {
            let length = usize::try_from(MARKER).ok()?;
            let marker = all.get(taken..taken + length).map(<[u8]>::to_vec);
            taken += length;
            marker
        });
        let found = grain(sparse, number, (*entry, offset), marker);
        budget.spend(ENTRY_PRICE + if found.is_some() { FINDING_PRICE } else { 0 });
        items.extend(found);
    }
    entries.len()
}

fn grain(
    sparse: &Sparse,
    number: u64,
    (entry, offset): (u32, u64),
    marker: Option<Vec<u8>>,
) -> Option<Finding> {
    let start = number * sparse.header.grain;
    if start >= sparse.header.capacity {
        let message = format!("grain {number} is behind the end of the disk");
        return Some(finding(Severity::Error, "corrupt.table", message, offset));
    }
    let stored = match sparse.header.grains {
        Grains::Plain => {
            let length = sparse.header.grain.min(sparse.header.capacity - start);
            let stored = ByteRange { offset, length };
            if end_of(stored) > sparse.blob.size() {
                let message = format!("grain {number} is behind the end of the file");
                return Some(finding(Severity::Error, "corrupt.truncated", message, offset));
            }
            stored
        }
        Grains::Framed => {
            let marker = marker.map_or_else(|| sparse.markers(&[entry]), Ok);
            match marker.and_then(|marker| sparse.stored_length(&marker, start, offset)) {
                Ok(length) => ByteRange { offset, length: MARKER + u64::from(length) },
                Err(error) => {
                    return Some(finding(Severity::Error, error.code(), error.to_string(), offset));
                }
            }
        }
    };
    sparse.is_own(stored).then(|| {
        let message = format!("grain {number} is in the image's own tables");
        finding(Severity::Error, "corrupt.aliased", message, offset)
    })
}

fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
