//! Sizes in bytes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A number of bytes that fits a signed 64-bit column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// More bytes than any disk or storage that we can account for (2^63 - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes is more than can be accounted for")]
pub struct TooManyBytes(pub u64);

/// The text is not a size, or a larger one than [`ByteSize`] holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a size; write a number of bytes, or a number with K, M, G, T or P in binary units, such \
     as 512M, 1.5G or 10GiB"
)]
pub struct ParseByteSizeError {
    /// The beginning of the text.
    text: String,
}

/// Names of units, without the letters that all of them may have behind (`K`, `KB` and `KiB` are
/// the same), and the powers of two that they stand for.
const UNITS: [(&str, u32); 5] = [("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50)];

impl ByteSize {
    /// No bytes.
    pub const ZERO: Self = Self(0);
    /// One GiB (2^30 bytes): what the product's texts call a GB by default (D2).
    pub const GIB: Self = Self(1 << 30);
    /// One MiB.
    pub const MIB: Self = Self(1 << 20);

    /// Checks a number of bytes.
    ///
    /// # Errors
    ///
    /// [`TooManyBytes`] above 2^63 - 1.
    pub const fn new(bytes: u64) -> Result<Self, TooManyBytes> {
        if bytes > i64::MAX.cast_unsigned() { Err(TooManyBytes(bytes)) } else { Ok(Self(bytes)) }
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes as a database column stores it.
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// Returns the sum; `None` above 2^63 - 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }

    /// Returns the difference, or nothing where the other is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the sum, or the largest size where the sum is larger.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        let sum = self.0.saturating_add(other.0);
        let most = i64::MAX.cast_unsigned();
        Self(if sum > most { most } else { sum })
    }

    /// Returns the product; `None` above 2^63 - 1.
    pub fn checked_mul(self, times: u64) -> Option<Self> {
        self.0.checked_mul(times).and_then(|product| Self::new(product).ok())
    }
}

impl TryFrom<u64> for ByteSize {
    type Error = TooManyBytes;

    fn try_from(bytes: u64) -> Result<Self, TooManyBytes> {
        Self::new(bytes)
    }
}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    /// Parses a number of bytes: `4096`, or a number with a unit, such as `512M`, `1.5G` or
    /// `10 GiB`. Units are binary and have no case. A fraction is accepted where the product is a
    /// whole number of bytes.
    ///
    /// # Errors
    ///
    /// The text has another form, names no whole number of bytes, or names more than
    /// 2<sup>63</sup> - 1 of them.
    fn from_str(text: &str) -> Result<Self, ParseByteSizeError> {
        parse(text)
            .and_then(|bytes| Self::new(bytes).ok())
            .ok_or_else(|| ParseByteSizeError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = scale(unit.trim_start())?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction.trim_end_matches('0')),
        Some(_) => return None,
        None => (number, ""),
    };
    let product = digits(whole)?.checked_mul(scale)?;
    let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = if fraction.is_empty() { 0 } else { digits(fraction)? }.checked_mul(scale)?;
    if !part.is_multiple_of(parts) {
        return None;
    }
    u64::try_from(product.checked_add(part / parts)?).ok()
}

fn digits(text: &str) -> Option<u128> {
    // The standard library would accept a sign, too.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn scale(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_uppercase();
    if matches!(unit.as_str(), "" | "B") {
        return Some(1);
    }
    let (_, shift) = UNITS
        .iter()
        .find(|(name, _)| unit.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | "B" | "IB")))?;
    Some(1 << shift)
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the size in binary units with one decimal (`1.5 GiB`), rounded down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut scale = 1024_u64;
        let mut unit = None;
        for name in UNITS {
            if self.0 < scale {
                break;
            }
            unit = Some((name, scale));
            scale = scale.saturating_mul(1024);
        }
        match unit {
            None => write!(f, "{} B", self.0),
            Some((name, scale)) => {
                let tenths = u128::from(self.0) * 10 / u128::from(scale);
                write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_in_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (i64::MAX.cast_unsigned(), "8191.9 PiB"),
        ] {
            assert_eq!(ByteSize::new(bytes).map(|s| s.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(ByteSize::new(1 << 63), Err(TooManyBytes(1 << 63)));
    }

    #[test]
    fn sizes_are_parsed_with_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("512M", 512 << 20),
            ("2g", 2 << 30),
            ("1k", 1024),
            ("1KB", 1024),
            ("1 KiB", 1024),
            ("10GiB", 10 << 30),
            ("1.5G", 1_610_612_736),
            ("1.0", 1),
            ("0.0009765625K", 1),
            ("1.50000000000000000000000000000000000000000000000000M", 1_572_864),
            ("1tib", 1 << 40),
            ("8191.5P", 9_222_809_086_901_354_496),
            ("9223372036854775807", i64::MAX.cast_unsigned()),
        ] {
            assert_eq!(text.parse().map(ByteSize::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_one_text() {
        for text in [
            "",
            " ",
            "G",
            ".5G",
            "1.G",
            "1.2.3M",
            "-1",
            "+1",
            "1X",
            "1GG",
            "1iB",
            "1e3",
            "0.5",
            "1.1K",
            "1,5G",
            "99999999999T",
            "8192P",
            "9223372036854775808",
            "340282366920938463463374607431768211456",
        ] {
            let error = text.parse::<ByteSize>().expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("`{text}` is not a size; write a number of bytes")),
                "{error}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_parsed_to_the_same(bytes in 0..=i64::MAX.cast_unsigned()) {
            let size = ByteSize::new(bytes).unwrap();
            proptest::prop_assert_eq!(bytes.to_string().parse(), Ok(size));
            // What is printed is rounded to a tenth: its size is refused, or prints the same.
            let printed = size.to_string();
            if let Ok(parsed) = printed.parse::<ByteSize>() {
                proptest::prop_assert!(parsed <= size);
                proptest::prop_assert_eq!(parsed.to_string(), printed);
            }
        }

        #[test]
        fn whole_halves_and_eighths_of_units_are_exact(
            eighths in 0_u64..1 << 12,
            unit in 0..UNITS.len(),
            suffix in "(B|iB|b|IB)?",
            lower: bool,
        ) {
            let (name, shift) = UNITS[unit];
            let name = if lower { name.to_lowercase() } else { name.to_owned() };
            let text = format!("{}.{:03}{name}{suffix}", eighths / 8, eighths % 8 * 125);
            let bytes = (eighths << shift) / 8;
            proptest::prop_assert_eq!(text.parse().map(ByteSize::bytes), Ok(bytes), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,45} ?[kKmMgGtTpPbBiI]{0,4}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
