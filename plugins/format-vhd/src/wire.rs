//! Big-endian numbers out of untrusted bytes, and sizes between the number types.

use crate::error::VhdError;

/// Bytes of a sector: the unit of every place in a VHD file.
pub(crate) const SECTOR: u64 = 512;

/// The big-endian u16 at `at`; 0 behind the end.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    array(bytes, at).map_or(0, u16::from_be_bytes)
}

/// The big-endian u32 at `at`; 0 behind the end.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    array(bytes, at).map_or(0, u32::from_be_bytes)
}

/// The big-endian u64 at `at`; 0 behind the end.
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    array(bytes, at).map_or(0, u64::from_be_bytes)
}

/// The `N` bytes at `at`, unless the bytes end before them.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A length in memory as a length in a file.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize is at most 64 bits wide")
}

/// A length in a file as a length in memory; too long for this machine is a limit.
pub(crate) fn to_usize(length: u64) -> Result<usize, VhdError> {
    usize::try_from(length)
        .map_err(|_| VhdError::TableSize(format!("a table of {length} bytes does not fit into memory")))
}

/// `value` rounded up to a multiple of `unit`, which is not zero; saturates.
pub(crate) fn round_up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
