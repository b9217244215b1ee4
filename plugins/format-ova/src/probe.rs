//! Recognising an OVA by its first bytes.

use imprint_plugin_sdk::format::{Guess, marks};

/// Recognises a file by its first bytes: a tar file that begins as appliances do.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let guess = Guess { confidence: 100, format: "ova".to_owned(), subformat: None };
    marks::is_appliance(head).then_some(guess)
}
