//! Everything that an open image says, page by page, and what the host checks of it.

use std::time::{Duration, Instant};

use imprint_plugin_sdk::{
    error::Result,
    format::{Extent, ExtentKind, Finding, Image, Severity},
    types::ByteRange,
};

use crate::code;

/// The whole map, page by page; what every page owes the host is asserted. Errors are the plugin's.
pub fn whole_map(image: &mut impl Image, page_size: u32) -> Result<Vec<Extent>> {
    let end = image.info()?.virtual_size;
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < end {
        let page = image.extents(at, end, page_size)?;
        assert!(!page.extents.is_empty() && page.extents.len() <= usize::try_from(page_size).unwrap());
        for extent in page.extents {
            assert_eq!(extent.offset, at);
            assert!(extent.length > 0);
            at += extent.length;
            extents.push(extent);
        }
        assert_eq!(page.resume, at);
        assert_eq!(page.done, at == end);
    }
    Ok(extents)
}

/// All findings, page by page. Errors are the plugin's.
pub fn all_findings(image: &mut impl Image, page_size: u32) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut at = 0;
    loop {
        let page = image.check(at, page_size)?;
        assert!(page.items.len() <= usize::try_from(page_size).unwrap());
        findings.extend(page.items);
        if page.done {
            return Ok(findings);
        }
        assert!(page.resume > at, "the check got on");
        at = page.resume;
    }
}

/// Errors and leaks.
pub fn count(findings: &[Finding]) -> (usize, usize) {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    (of(Severity::Error), of(Severity::Leak))
}

/// The codes of errors and leaks.
pub fn faults(findings: &[Finding]) -> Vec<String> {
    let bad = |finding: &&Finding| finding.severity != Severity::Note;
    findings.iter().filter(bad).map(|finding| finding.code.clone()).collect()
}

/// All ranges of the image's tables, page by page. Errors are the plugin's.
pub fn all_ranges(image: &mut impl Image, page_size: u32) -> Result<Vec<ByteRange>> {
    let mut ranges = Vec::new();
    loop {
        let page = image.metadata_ranges(u64::try_from(ranges.len()).unwrap(), page_size)?;
        if page.is_empty() {
            return Ok(ranges);
        }
        ranges.extend(page);
    }
}

/// What the host checks over the whole map: whether something that is stored lies in a table or in
/// another extent.
pub fn aliased(image: &mut impl Image) -> Result<bool> {
    aliased_behind(image, |_, end| end)
}

/// The same for a format whose encoded units may share bytes: `own_end` says where the bytes end
/// that are a unit's alone, from where its bytes start and end.
pub fn aliased_behind(image: &mut impl Image, own_end: fn(u64, u64) -> u64) -> Result<bool> {
    let used = used(image, own_end)?;
    Ok(used.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2))
}

/// Asserts that nothing that is stored lies in a table, in another extent, or outside of the `file`
/// bytes that there are.
pub fn assert_sound(image: &mut impl Image, file: u64) {
    let used = used(image, |_, end| end).unwrap();
    let apart = |pair: &[(u16, u64, u64)]| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1;
    assert!(used.windows(2).all(apart), "two things share bytes: {used:?}");
    assert!(used.last().is_none_or(|last| last.0 == 0 && last.2 <= file));
}

/// Whether the host refuses the image: because the plugin refuses to describe it, or because two
/// things share bytes. Asserts that what is not refused lies in the `file` bytes that there are.
pub fn is_refused(image: &mut impl Image, file: u64) -> bool {
    let Ok(used) = used(image, |_, end| end) else { return true };
    if used.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2) {
        return true;
    }
    assert!(used.last().is_none_or(|last| last.0 == 0 && last.2 <= file));
    false
}

/// Source, start and end of everything that has a place, in this order.
fn used(image: &mut impl Image, own_end: fn(u64, u64) -> u64) -> Result<Vec<(u16, u64, u64)>> {
    let mut used: Vec<(u16, u64, u64)> = all_ranges(image, 100)?
        .into_iter()
        .map(|range| (0, range.offset, range.offset + range.length))
        .collect();
    for extent in whole_map(image, 2048)? {
        let start = extent.source_offset;
        let end = match extent.kind {
            ExtentKind::Data => start + extent.length,
            ExtentKind::Encoded => own_end(start, start + u64::from(extent.source_length)),
            ExtentKind::Zero | ExtentKind::Hole => continue,
        };
        used.push((extent.source, start, end));
    }
    used.sort_unstable();
    Ok(used)
}

/// The code of the refusal, wherever it comes: opening, the map, or what `aliased` finds over the
/// whole map.
pub fn outcome<I: Image>(
    open: impl FnOnce() -> Result<I>,
    aliased: impl FnOnce(&mut I) -> Result<bool>,
) -> String {
    let started = Instant::now();
    let outcome = match open().and_then(|mut image| aliased(&mut image)) {
        Ok(true) => "corrupt.aliased".to_owned(),
        other => code(other),
    };
    assert!(started.elapsed() < Duration::from_secs(5), "the outcome comes at once");
    outcome
}

/// Asks an image of `file` bytes for everything that is bounded; `unit` is the smallest piece that
/// its map may be asked for.
pub fn exercise(image: &mut impl Image, file: u64, unit: u64) {
    let size = image.info().unwrap().virtual_size;
    let sources = image.sources().unwrap();
    assert!(!sources.is_empty());
    if let Ok(ranges) = image.metadata_ranges(0, 100) {
        assert!(ranges.iter().all(|range| range.offset + range.length <= file));
    }
    for start in [0, size / 2, size.saturating_sub(unit)] {
        let Ok(page) = image.extents(start, size, 500) else { continue };
        let mut at = start.min(size);
        for extent in page.extents {
            assert_eq!(extent.offset, at);
            at += extent.length;
            let stored = match extent.kind {
                ExtentKind::Data => extent.length,
                ExtentKind::Encoded => u64::from(extent.source_length),
                ExtentKind::Zero | ExtentKind::Hole => 0,
            };
            // How long a file of extents is, is not known here; a parent's bytes are never mapped.
            let extents = sources[usize::from(extent.source)].role == "extent";
            assert!(extents || extent.source_offset + stored <= file);
        }
        assert!(at <= size);
        assert_eq!(page.resume, at);
    }
    let mut start = 0;
    for _ in 0..4 {
        let Ok(page) = image.check(start, 10) else { break };
        assert!(page.items.len() <= 10);
        if page.done {
            break;
        }
        assert!(page.resume > start);
        start = page.resume;
    }
}
