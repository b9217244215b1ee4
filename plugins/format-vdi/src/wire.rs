//! Little-endian numbers out of untrusted bytes, exact reads, and sizes between the number types.

use imprint_plugin_sdk::host::Blob;

use crate::error::VdiError;

/// The little-endian u32 at `at`, unless the bytes end before it.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The little-endian u64 at `at`, unless the bytes end before it.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// A length in memory as a length in a file.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize is at most 64 bits wide")
}

/// Reads exactly `[offset, offset + length)`, at most 1 MiB; what is asked for was checked against
/// the size.
pub(crate) fn read_exact(blob: &dyn Blob, offset: u64, length: u64) -> Result<Vec<u8>, VdiError> {
    let wanted =
        u32::try_from(length).map_err(|_| VdiError::TableSize(format!("a read of {length} bytes")))?;
    let bytes = blob.read_at(offset, wanted)?;
    if to_u64(bytes.len()) == length {
        Ok(bytes)
    } else {
        Err(VdiError::Truncated("the file became shorter while it was read".to_owned()))
    }
}
