//! Recognising a qcow2 file by its first bytes.

use imprint_plugin_sdk::format::{Guess, wire::be32};

use crate::header::MAGIC;

/// Recognises a file by its first bytes. A version that cannot be read is recognised too: opening
/// it says why.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let confidence = match (be32(head, 0)?, be32(head, 4)?) {
        (MAGIC, 2 | 3) => 100,
        (MAGIC, _) => 60,
        _ => return None,
    };
    Some(Guess { confidence, format: "qcow2".to_owned(), subformat: None })
}
