//! Numbers out of untrusted bytes, and conversions between lengths in files and in memory.
//!
//! The readers of single numbers return `None` where the bytes end before the number does.
//!
//! ```
//! use imprint_plugin_sdk::format::wire;
//!
//! let bytes = [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3];
//! assert_eq!(wire::be32(&bytes, 4), Some(3));
//! assert_eq!(wire::be32(&bytes, 5), None);
//! ```

use super::error::FormatError;

macro_rules! numbers {
    ($($name:ident: $number:ty = $from:ident, $order:literal;)*) => {
        $(
            #[doc = concat!("Returns the ", $order, "-endian number at `at`; `None` when the bytes end before it does.")]
            pub fn $name(bytes: &[u8], at: usize) -> Option<$number> {
                array(bytes, at).map(<$number>::$from)
            }
        )*
    };
}

numbers! {
    be16: u16 = from_be_bytes, "big";
    be32: u32 = from_be_bytes, "big";
    be64: u64 = from_be_bytes, "big";
    le16: u16 = from_le_bytes, "little";
    le32: u32 = from_le_bytes, "little";
    le64: u64 = from_le_bytes, "little";
}

/// Returns the `N` bytes at `at`; `None` when the bytes end before them.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Returns all whole big-endian 64-bit numbers of the bytes.
pub fn be64s(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u64::from_be_bytes(*chunk))
}

/// Returns all whole big-endian 32-bit numbers of the bytes.
pub fn be32s(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u32::from_be_bytes(*chunk))
}

/// Returns all whole little-endian 64-bit numbers of the bytes.
pub fn le64s(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Returns all whole little-endian 32-bit numbers of the bytes.
pub fn le32s(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u32::from_le_bytes(*chunk))
}

/// Returns a length in memory as a length in a file.
pub fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize is at most 64 bits wide")
}

/// Returns a length in a file as a length in memory.
///
/// # Errors
///
/// [`FormatError::TableSize`] when no memory of a component is that long.
pub fn to_usize(length: u64) -> Result<usize, FormatError> {
    usize::try_from(length)
        .map_err(|_| FormatError::TableSize(format!("a table of {length} bytes does not fit into memory")))
}

/// Returns `value` rounded up to a multiple of `unit`, which is not 0; at most `u64::MAX`.
pub fn round_up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
