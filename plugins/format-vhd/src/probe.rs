//! Recognising a VHD by its first or last bytes.

use imprint_plugin_sdk::format::{Guess, wire::to_usize};

use crate::footer::{COOKIE, Damaged, Footer, Kind, LENGTH, OLD_LENGTH};

/// Recognises a file by its first and last bytes. A fixed disk has its mark in the last sector
/// only; what cannot be read is recognised too: opening it says why.
pub fn probe(head: &[u8], tail: &[u8]) -> Option<Guess> {
    if head.starts_with(COOKIE) {
        let footer = head.get(..to_usize(LENGTH).ok()?).map(|bytes| Footer::parse(bytes, Damaged::Refuse));
        return match footer {
            Some(Ok(footer)) => Some(guess(100, Some(footer.kind))),
            Some(Err(_)) | None => Some(guess(60, None)),
        };
    }
    let footer = [LENGTH, OLD_LENGTH].into_iter().find_map(|length| {
        let at = tail.len().checked_sub(to_usize(length).ok()?)?;
        tail.get(at..).filter(|bytes| bytes.starts_with(COOKIE))
    })?;
    match Footer::parse(footer, Damaged::Refuse) {
        Ok(footer) => Some(guess(95, Some(footer.kind))),
        Err(_) => Some(guess(60, None)),
    }
}

fn guess(confidence: u8, kind: Option<Kind>) -> Guess {
    Guess { confidence, format: "vhd".to_owned(), subformat: kind.map(|kind| kind.name().to_owned()) }
}
