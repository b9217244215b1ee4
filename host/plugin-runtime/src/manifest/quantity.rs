//! Quantities in manifests: `64MiB`, `2s`, `200/s`. `key` is the key that a message names.

use std::time::Duration;

use crate::error::LoadError;

pub(super) fn bytes(key: &str, text: &str) -> Result<u64, LoadError> {
    let (number, unit) = split(key, text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(invalid(key, text, "a size such as 64MiB (B, KiB, MiB, GiB)")),
    };
    number.checked_mul(factor).ok_or_else(|| invalid(key, text, "a size below 16 EiB"))
}

pub(super) fn duration(key: &str, text: &str) -> Result<Duration, LoadError> {
    let (number, unit) = split(key, text)?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number
            .checked_mul(60)
            .map(Duration::from_secs)
            .ok_or_else(|| invalid(key, text, "a shorter time")),
        _ => Err(invalid(key, text, "a time such as 2s (ms, s, m)")),
    }
}

pub(super) fn rate(key: &str, text: &str) -> Result<u32, LoadError> {
    let number = text.strip_suffix("/s").and_then(|number| number.parse().ok());
    number.ok_or_else(|| invalid(key, text, "a rate such as 200/s"))
}

fn split<'t>(key: &str, text: &'t str) -> Result<(u64, &'t str), LoadError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse().map_err(|_| invalid(key, text, "a number with a unit"))?;
    Ok((number, unit.trim_start()))
}

fn invalid(key: &str, text: &str, expected: &str) -> LoadError {
    LoadError::manifest(format!("`{key}` is {text:?}; it must be {expected}"))
}
