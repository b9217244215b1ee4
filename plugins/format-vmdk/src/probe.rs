//! Recognising a VMDK file by its first bytes.

use imprint_plugin_sdk::format::{
    Guess,
    wire::{le32, le64},
};

use crate::{
    descriptor::SIGNATURE,
    header::{COWD, MAGIC, SESPARSE},
};

/// Bytes in which a text descriptor says what it is.
const SIGNATURE_WITHIN: usize = 512;

/// Recognises a file by its first bytes. A variant that cannot be read is recognised too: opening
/// it says why.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let guess = |confidence, subformat: Option<&str>| {
        Some(Guess { confidence, format: "vmdk".to_owned(), subformat: subformat.map(str::to_owned) })
    };
    match le32(head, 0)? {
        MAGIC if matches!(le32(head, 4), Some(1..=3)) => return guess(100, None),
        MAGIC => return guess(60, None),
        COWD => return guess(60, Some("vmfsSparse")),
        _ if le64(head, 0) == Some(SESPARSE) => return guess(60, Some("seSparse")),
        _ => {}
    }
    let start = &head[..head.len().min(SIGNATURE_WITHIN)];
    let text = start.trim_ascii_start();
    let signed = text.get(..SIGNATURE.len()).is_some_and(|found| found.eq_ignore_ascii_case(SIGNATURE));
    if signed { guess(100, None) } else { None }
}
