//! Whole-disk questions: digest, comparison, consistency.

use std::sync::Arc;

use imprint_ports::{BlockSource, ByteRange, DiskFormat, Finding, PortError, Props, Severity};
use serde::{Deserialize, Serialize};

use crate::{
    digest::DiskDigest,
    disk::{Disk, stated::while_checked},
    error::EngineError,
    map::extent_map::MapError,
    transfer::{movement::Running, write::WriteOptions},
    util::num::{to_u64, to_usize},
};

/// Bytes that are compared at once.
const WINDOW: u64 = 1 << 20;
/// Most findings of a check that are kept.
const MAX_FINDINGS: usize = 10_000;
/// Findings asked for in one call.
const PAGE_FINDINGS: u32 = 256;

/// Reads the whole disk with all cores and returns its logical digest. Of the options, `threads`,
/// `cancel` and `progress` count.
pub async fn digest(disk: &Arc<Disk>, options: &WriteOptions) -> Result<DiskDigest, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let running = options.running(&cancel);
    while_checked(disk, &cancel, options.mover.0.digest(disk, &running)).await
}

/// How two disks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Same size, same bytes.
    Identical,
    /// Same bytes as far as both go; what only one has is zero.
    SizeOnly {
        /// Size of the first disk.
        first: u64,
        /// Size of the second disk.
        second: u64,
    },
    /// Different bytes.
    Content {
        /// Offset of the first byte that differs; behind the end of the shorter disk its bytes
        /// count as zero.
        offset: u64,
    },
}

/// Compares two disks byte for byte, skipping what both know to be zero. Of the options, `cancel`
/// and `progress` count.
pub async fn compare(
    first: &Arc<Disk>,
    second: &Arc<Disk>,
    options: &WriteOptions,
) -> Result<Comparison, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let running = options.running(&cancel);
    let comparing = options.mover.0.compare(first, second, &running);
    while_checked(first, &cancel, while_checked(second, &cancel, comparing)).await
}

/// The work of [`compare`].
pub(crate) fn compare_blocking(
    first: &Disk,
    second: &Disk,
    running: &Running,
) -> Result<Comparison, EngineError> {
    let Running { cancel, progress, .. } = running;
    let mut readers = [first.reader(), second.reader()];
    let mut windows = [vec![0; to_usize(WINDOW)], vec![0; to_usize(WINDOW)]];
    let end = first.size().max(second.size());
    progress.start(first.map().stored_bytes() + second.map().stored_bytes());
    let mut at = 0;
    while let Some(found) = next_stored([first, second], at)? {
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let start = found / WINDOW * WINDOW;
        let length = WINDOW.min(end - start);
        for ((disk, reader), window) in [first, second].iter().zip(&mut readers).zip(&mut windows) {
            let has = to_usize(disk.size().saturating_sub(start).min(length));
            if has > 0 {
                reader.read_at(&mut window[..has], start)?;
            }
            window[has..].fill(0);
            progress.advance(disk.map().stored_in(ByteRange { offset: start, length })?);
        }
        let [a, b] = [&windows[0][..to_usize(length)], &windows[1][..to_usize(length)]];
        if a != b {
            let differs = a.iter().zip(b).position(|(a, b)| a != b).map_or(length, to_u64);
            return Ok(Comparison::Content { offset: start + differs });
        }
        at = start + length;
    }
    Ok(match first.size() == second.size() {
        true => Comparison::Identical,
        false => Comparison::SizeOnly { first: first.size(), second: second.size() },
    })
}

/// The first byte at or behind `from` that one of the disks stores.
fn next_stored(disks: [&Disk; 2], from: u64) -> Result<Option<u64>, MapError> {
    let [first, second] = disks.map(|disk| disk.map().next_stored(from));
    Ok(first?.into_iter().chain(second?).min())
}

/// What a consistency check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The findings, at most 10 000.
    pub findings: Vec<Finding>,
    /// There were more.
    pub cut_off: bool,
}

impl CheckReport {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Runs a format's own consistency check over a file.
pub async fn check(
    format: &dyn DiskFormat,
    blob: Arc<dyn BlockSource>,
    options: &Props,
) -> Result<CheckReport, EngineError> {
    let mut image = format.open(blob, options).await?;
    let mut report = CheckReport::default();
    let mut start = 0;
    loop {
        let page = image.check(start, PAGE_FINDINGS).await?;
        let room = MAX_FINDINGS - report.findings.len();
        report.cut_off |= page.items.len() > room;
        report.findings.extend(page.items.into_iter().take(room));
        if page.done || report.cut_off {
            return Ok(report);
        }
        if page.resume <= start {
            return Err(PortError::bad_answer(
                "plugin.check",
                "the format plugin's check makes no progress; report this to its author",
            )
            .into());
        }
        start = page.resume;
    }
}

#[cfg(test)]
mod tests;
