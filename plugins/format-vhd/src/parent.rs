//! The names of a parent, as text. Nothing here opens them.

use imprint_plugin_sdk::{
    format::{FormatError, blob::read_exact},
    host::Blob,
};

use crate::{
    footer::id_text,
    header::{Header, Locator},
};

/// The longest name that is read, in bytes.
pub(crate) const MAX_NAME: u32 = 64 << 10;

/// All names that the image has for its parent, the most useful first: relative to the image, as
/// the header has it, absolute, as a URL. Each once; never empty.
pub(crate) fn names(blob: &dyn Blob, header: &Header) -> Result<Vec<String>, FormatError> {
    let mut names = Vec::new();
    let of = |platform: [u8; 4]| header.locators.iter().filter(move |one| one.platform == platform);
    for locator in of(*b"W2ru") {
        names.push(utf16_le(&text(blob, *locator)?));
    }
    names.push(String::from_utf16_lossy(&header.parent_name));
    for locator in of(*b"W2ku") {
        names.push(utf16_le(&text(blob, *locator)?));
    }
    for locator in of(*b"MacX") {
        names.push(url(&text(blob, *locator)?));
    }
    let mut known: Vec<String> = Vec::new();
    for name in names {
        if !name.is_empty() && !known.contains(&name) {
            known.push(name);
        }
    }
    if known.is_empty() {
        known.push(id_text(header.parent_id));
    }
    Ok(known)
}

fn text(blob: &dyn Blob, locator: Locator) -> Result<Vec<u8>, FormatError> {
    read_exact(blob, locator.offset, locator.length.min(MAX_NAME).into())
}

fn utf16_le(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks();
    let units: Vec<u16> =
        units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// A `file:` URL in UTF-8, its escapes undone.
fn url(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let mut rest = bytes.get(..end).unwrap_or_default();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
