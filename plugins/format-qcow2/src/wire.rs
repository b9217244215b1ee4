//! Big-endian numbers out of untrusted bytes, and sizes between the number types.

use crate::error::Qcow2Error;

/// The big-endian u16 at `at`, unless the bytes end before it.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// The big-endian u32 at `at`, unless the bytes end before it.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// The big-endian u64 at `at`, unless the bytes end before it.
pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_be_bytes)
}

/// All whole big-endian u64 of the bytes.
pub(crate) fn be64s(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u64::from_be_bytes(*chunk))
}

/// A length in memory as a length in a file.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize is at most 64 bits wide")
}

/// A length in a file as a length in memory; too long for this machine is a limit.
pub(crate) fn to_usize(length: u64) -> Result<usize, Qcow2Error> {
    usize::try_from(length)
        .map_err(|_| Qcow2Error::TableSize(format!("a table of {length} bytes does not fit into memory")))
}

/// `value` rounded up to a multiple of `unit`, which is a power of two; saturates.
pub(crate) fn round_up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
