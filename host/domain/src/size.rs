//! Sizes in bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes that fits a signed 64-bit column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// More bytes than any disk or storage that we can account for (2^63 - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes is more than can be accounted for")]
pub struct TooManyBytes(pub u64);

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

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ByteSize {
    /// Writes a human-readable size: binary units, one decimal (`1.5 GiB`).
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
}
