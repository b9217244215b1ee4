//! Recognising a VMDK file by its first bytes.

use imprint_plugin_sdk::format::{
    Guess, marks,
    wire::{le32, le64},
};

use crate::header::{COWD, MAGIC, SESPARSE};

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
    if marks::is_vmdk_text(head) { guess(100, None) } else { None }
}
