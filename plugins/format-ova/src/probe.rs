//! Recognising an OVA by its first bytes.

use imprint_plugin_sdk::format::Guess;

use crate::tar::{BLOCK, Header};

/// Headers that are read: extended records may come before the description.
const MAX_HEADERS: usize = 4;

/// Recognises a file by its first bytes: a tar file that begins with a description.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let mut at = 0;
    for _ in 0..MAX_HEADERS {
        match Header::parse(head.get(at..)?).ok()? {
            Header::End => return None,
            Header::Records { size } => {
                let next = size.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)?;
                at = at.checked_add(usize::try_from(next).ok()?)?;
            }
            Header::File { name, .. } => {
                let described = name.to_ascii_lowercase().ends_with(".ovf");
                let guess = Guess { confidence: 100, format: "ova".to_owned(), subformat: None };
                return described.then_some(guess);
            }
        }
    }
    None
}
