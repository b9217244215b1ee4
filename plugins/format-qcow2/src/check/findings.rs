//! What is reported.

use imprint_plugin_sdk::format::{Finding, Severity};

use crate::header::Header;

/// The price of a finding, in entries: its text is made.
pub(super) const PRICE: u64 = 128;

/// Returns what the header states about the state of the image.
pub(super) fn notes(header: &Header) -> Vec<Finding> {
    let mut notes = Vec::new();
    if header.dirty {
        notes.push(note("qcow2.dirty", "the image was not closed; refcounts may be behind"));
    }
    if header.corrupt {
        notes.push(note("qcow2.corrupt-flag", "the image is marked as corrupt"));
    }
    notes
}

fn note(code: &str, message: &str) -> Finding {
    Finding { severity: Severity::Note, code: code.to_owned(), message: message.to_owned(), offset: None }
}

/// Returns a finding about the cluster at `offset` of the file.
pub(super) fn finding(severity: Severity, code: &str, message: String, offset: u64) -> Finding {
    Finding { severity, code: code.to_owned(), message, offset: Some(offset) }
}
