//! A format's own consistency check.

use std::sync::Arc;

use imprint_ports::{BlockSource, DiskFormat, Finding, PortError, Props, Severity};

use crate::error::EngineError;

/// The largest number of findings of a check that are kept.
const MAX_FINDINGS: usize = 10_000;
/// The number of findings requested in one call.
const PAGE_FINDINGS: u32 = 256;

/// What a consistency check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The findings, at most 10 000.
    pub findings: Vec<Finding>,
    /// Whether there were more findings.
    pub cut_off: bool,
}

impl CheckReport {
    /// Returns the number of findings with this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Runs a format's own consistency check over a file.
///
/// # Errors
///
/// Whatever the format plugin reports, and `plugin.check` for a check that makes no progress.
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
