//! The bytes of a file, as this crate reads them: tables only, in bounded pieces.

use imprint_plugin_sdk::{host::Blob, types::ByteRange};

use crate::{
    error::Qcow2Error,
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

/// Reads exactly `[offset, offset + length)` in pieces of at most [`MAX_READ`].
pub(crate) fn read_exact(blob: &dyn Blob, offset: u64, length: u64) -> Result<Vec<u8>, Qcow2Error> {
    let mut bytes = Vec::with_capacity(to_usize(length)?);
    for_each_piece(blob, offset, length, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Hands `[offset, offset + length)` to `take`, piece by piece; all pieces but the last are
/// [`MAX_READ`] long.
pub(crate) fn for_each_piece(
    blob: &dyn Blob,
    offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), Qcow2Error>,
) -> Result<(), Qcow2Error> {
    let end = offset
        .checked_add(length)
        .ok_or_else(|| Qcow2Error::Table("a table ends behind the last offset".to_owned()))?;
    let mut at = offset;
    while at < end {
        let length = u32::try_from(end - at).unwrap_or(MAX_READ).min(MAX_READ);
        let piece = blob.read_at(at, length)?;
        if to_u64(piece.len()) != u64::from(length) {
            return Err(shorter());
        }
        take(&piece)?;
        at += u64::from(length);
    }
    Ok(())
}

/// Reads all ranges and refuses an answer that is short: everything this crate asks for was checked
/// against the size.
pub(crate) fn read_all(blob: &dyn Blob, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, Qcow2Error> {
    let answers = blob.read_many(ranges)?;
    let whole = answers.iter().zip(ranges).all(|(bytes, range)| to_u64(bytes.len()) == range.length);
    if whole && answers.len() == ranges.len() { Ok(answers) } else { Err(shorter()) }
}

fn shorter() -> Qcow2Error {
    Qcow2Error::Truncated("the file became shorter while it was read".to_owned())
}
