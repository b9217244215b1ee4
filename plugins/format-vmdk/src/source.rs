//! The bytes of a file, as this crate reads them: tables only, in bounded pieces.

use imprint_plugin_sdk::{host::Blob, types::ByteRange};

use crate::{
    error::VmdkError,
    wire::{to_u64, to_usize},
};

/// The most that one read may bring, together over its ranges.
pub(crate) const MAX_READ: u32 = 1 << 20;

/// The first byte behind the range.
pub(crate) fn end_of(range: ByteRange) -> u64 {
    range.offset.saturating_add(range.length)
}

/// Whether the two have a byte in common.
pub(crate) fn overlap(one: ByteRange, two: ByteRange) -> bool {
    one.offset < end_of(two) && two.offset < end_of(one)
}

/// Refuses a range that is not wholly inside the file. Before anything is allocated for it.
pub(crate) fn inside(blob: &dyn Blob, what: &str, range: ByteRange) -> Result<(), VmdkError> {
    match range.offset.checked_add(range.length) {
        Some(end) if end <= blob.size() => Ok(()),
        Some(_) | None => Err(VmdkError::Truncated(format!(
            "{what} of {} bytes is at {:#x}, and the file ends at {:#x}",
            range.length,
            range.offset,
            blob.size()
        ))),
    }
}

/// Reads exactly `[offset, offset + length)` in pieces of at most [`MAX_READ`]; the caller bounded
/// `length`.
pub(crate) fn read_exact(blob: &dyn Blob, range: ByteRange) -> Result<Vec<u8>, VmdkError> {
    let mut bytes = Vec::with_capacity(to_usize(range.length)?);
    let end = end_of(range);
    let mut at = range.offset;
    while at < end {
        let length = u32::try_from(end - at).unwrap_or(MAX_READ).min(MAX_READ);
        let piece = blob.read_at(at, length)?;
        if to_u64(piece.len()) != u64::from(length) {
            return Err(shorter());
        }
        bytes.extend_from_slice(&piece);
        at += u64::from(length);
    }
    Ok(bytes)
}

/// Reads all ranges and refuses an answer that is short: everything this crate asks for was checked
/// against the size.
pub(crate) fn read_all(blob: &dyn Blob, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, VmdkError> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let answers = blob.read_many(ranges)?;
    let whole = answers.iter().zip(ranges).all(|(bytes, range)| to_u64(bytes.len()) == range.length);
    if whole && answers.len() == ranges.len() { Ok(answers) } else { Err(shorter()) }
}

/// Reads the same number of bytes at each place, one behind the other.
pub(crate) fn read_each(blob: &dyn Blob, places: &[u64], length: u64) -> Result<Vec<u8>, VmdkError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let each = u32::try_from(length).map_err(|_| shorter())?;
    let bytes = blob.read_each(places, each)?;
    if to_u64(bytes.len()) == length * to_u64(places.len()) { Ok(bytes) } else { Err(shorter()) }
}

fn shorter() -> VmdkError {
    VmdkError::Truncated("the file became shorter while it was read".to_owned())
}
