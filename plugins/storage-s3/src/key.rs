//! Keys, and how they are written in URLs.

use imprint_plugin_sdk::error::{Error, Result};

/// The longest key of this storage, in bytes, and the longest one of S3.
const MAX_KEY: usize = 512;
const MAX_OBJECT_KEY: usize = 1024;

/// Returns whether a key is one that the host takes: relative, without empty, `.` or `..` parts.
pub(crate) fn is_key(key: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    !key.is_empty()
        && key.len() <= MAX_KEY
        && key.split('/').all(part)
        && !key.contains(|c: char| c.is_control() || c == '\\')
}

/// Checks a key that is about to be used.
pub(crate) fn check_key(key: &str, prefix: &str) -> Result<()> {
    if is_key(key) && prefix.len() + key.len() <= MAX_OBJECT_KEY {
        return Ok(());
    }
    let message = format!(
        "the key {key:?} cannot be stored: use 1 to {MAX_KEY} bytes, and no empty, `.` or `..` parts"
    );
    Err(Error::invalid_input("s3.key", message))
}

/// Percent-encodes a text as S3 signs it (RFC 3986: everything but unreserved characters).
pub(crate) fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            b'/' if keep_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Undoes [`encode`], for listings with `encoding-type=url`. `None` for what is no encoded text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
