//! Little-endian numbers out of untrusted bytes, and sizes between the number types.

use crate::error::VmdkError;

/// Bytes of a sector, the unit of every offset in the format.
pub(crate) const SECTOR: u64 = 512;

/// The little-endian u16 at `at`, unless the bytes end before it.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

/// The little-endian u32 at `at`, unless the bytes end before it.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The little-endian u64 at `at`, unless the bytes end before it.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// All whole little-endian u32 of the bytes.
pub(crate) fn le32s(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u32::from_le_bytes(*chunk))
}

/// A length in memory as a length in a file.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize is at most 64 bits wide")
}

/// A length in a file as a length in memory; too long for this machine is a limit.
pub(crate) fn to_usize(length: u64) -> Result<usize, VmdkError> {
    usize::try_from(length)
        .map_err(|_| VmdkError::TableSize(format!("a table of {length} bytes does not fit into memory")))
}

/// A sector's first byte.
pub(crate) fn sector(number: u32) -> u64 {
    u64::from(number) * SECTOR
}

/// `value` rounded up to a multiple of `unit`; saturates.
pub(crate) fn round_up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
