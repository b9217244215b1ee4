//! The bytes of a file, as this crate reads them: tables only, in bounded pieces.

use imprint_plugin_sdk::{host::Blob, types::ByteRange};

use crate::{
    error::VhdError,
    wire::{to_u64, to_usize},
};

/// The most that one read may bring, together over its ranges.
pub(crate) const MAX_READ: u32 = 1 << 20;
/// The most ranges of one read.
pub(crate) const MAX_RANGES: usize = 1024;

/// The first byte behind the range.
pub(crate) fn end_of(range: ByteRange) -> u64 {
    range.offset.saturating_add(range.length)
}

/// Whether the two have a byte in common.
pub(crate) fn overlap(one: ByteRange, two: ByteRange) -> bool {
    one.offset < end_of(two) && two.offset < end_of(one)
}

/// Reads exactly `[offset, offset + length)`; what is asked for was checked against the size of the
/// file, and is at most [`MAX_READ`].
pub(crate) fn read_exact(blob: &dyn Blob, offset: u64, length: u32) -> Result<Vec<u8>, VhdError> {
    debug_assert!(length <= MAX_READ, "tables are read in pieces");
    let bytes = blob.read_at(offset, length)?;
    if bytes.len() == to_usize(length.into())? { Ok(bytes) } else { Err(shorter()) }
}

/// Reads all ranges and refuses an answer that is short: everything this crate asks for was checked
/// against the size.
pub(crate) fn read_all(blob: &dyn Blob, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, VhdError> {
    let answers = blob.read_many(ranges)?;
    let whole = answers.iter().zip(ranges).all(|(bytes, range)| to_u64(bytes.len()) == range.length);
    if whole && answers.len() == ranges.len() { Ok(answers) } else { Err(shorter()) }
}

fn shorter() -> VhdError {
    VhdError::Truncated("the file became shorter while it was read".to_owned())
}
