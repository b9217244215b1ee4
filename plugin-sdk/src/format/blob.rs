//! Reading tables out of a [`Blob`], in pieces that the host accepts, and ranges of a file.

use super::{
    error::FormatError,
    wire::{to_u64, to_usize},
};
use crate::{host::Blob, types::ByteRange};

/// The bytes that one read may return, together over its ranges.
pub const MAX_READ: u32 = 1 << 20;
/// The ranges that one scattered read may have.
pub const MAX_RANGES: usize = 1024;

/// Returns the first byte after the range.
pub fn end_of(range: ByteRange) -> u64 {
    range.offset.saturating_add(range.length)
}

/// Returns whether the two ranges have a byte in common.
pub fn overlap(one: ByteRange, two: ByteRange) -> bool {
    one.offset < end_of(two) && two.offset < end_of(one)
}

/// Checks that a range lies inside the file. Call it before anything is allocated for the range.
///
/// # Errors
///
/// [`FormatError::Truncated`], which names the structure as `what`.
pub fn inside(blob: &dyn Blob, what: &str, range: ByteRange) -> Result<(), FormatError> {
    match range.offset.checked_add(range.length) {
        Some(end) if end <= blob.size() => Ok(()),
        Some(_) | None => Err(FormatError::Truncated(format!(
            "{what} of {} bytes is at {:#x}, and the file ends at {:#x}",
            range.length,
            range.offset,
            blob.size()
        ))),
    }
}

/// Reads exactly `[offset, offset + length)`, which the caller has bounded, in pieces of at most
/// [`MAX_READ`].
///
/// # Errors
///
/// [`FormatError::Truncated`] when the file is shorter than that, and what the host answers.
pub fn read_exact(blob: &dyn Blob, offset: u64, length: u64) -> Result<Vec<u8>, FormatError> {
    if length == 0 {
        return Ok(Vec::new());
    }
    if length <= MAX_READ.into() {
        return piece(blob, offset, length);
    }
    let mut bytes = Vec::with_capacity(to_usize(length)?);
    for_each_piece(blob, offset, length, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads `[offset, offset + length)` and gives it to `take` piece by piece; all pieces but the last
/// are [`MAX_READ`] long.
///
/// # Errors
///
/// As [`read_exact`], and what `take` returns.
pub fn for_each_piece(
    blob: &dyn Blob,
    offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let end = offset
        .checked_add(length)
        .ok_or_else(|| FormatError::Table("a table ends behind the last offset".to_owned()))?;
    let mut at = offset;
    while at < end {
        let length = (end - at).min(MAX_READ.into());
        take(&piece(blob, at, length)?)?;
        at += length;
    }
    Ok(())
}

fn piece(blob: &dyn Blob, offset: u64, length: u64) -> Result<Vec<u8>, FormatError> {
    let wanted = u32::try_from(length).expect("a piece is at most 1 MiB");
    let bytes = blob.read_at(offset, wanted)?;
    if to_u64(bytes.len()) == length { Ok(bytes) } else { Err(shorter()) }
}

/// Reads all ranges in one call; together they are at most [`MAX_READ`] bytes and [`MAX_RANGES`].
///
/// # Errors
///
/// [`FormatError::Truncated`] when one of the answers is short, and what the host answers.
pub fn read_all(blob: &dyn Blob, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, FormatError> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let answers = blob.read_many(ranges)?;
    let whole = answers.iter().zip(ranges).all(|(bytes, range)| to_u64(bytes.len()) == range.length);
    if whole && answers.len() == ranges.len() { Ok(answers) } else { Err(shorter()) }
}

/// Reads the same number of bytes, at most 64, at each of at most 8192 places; the answers follow
/// each other.
///
/// # Errors
///
/// [`FormatError::Truncated`] when the answer is short, and what the host answers.
pub fn read_each(blob: &dyn Blob, places: &[u64], length: u32) -> Result<Vec<u8>, FormatError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = blob.read_each(places, length)?;
    if to_u64(bytes.len()) == u64::from(length) * to_u64(places.len()) { Ok(bytes) } else { Err(shorter()) }
}

fn shorter() -> FormatError {
    FormatError::Truncated("the file became shorter while it was read".to_owned())
}

/// The part of a file that was read last, for tables whose entries have different lengths: small
/// reads that follow each other cost one call of the host for many of them.
#[derive(Debug, Default)]
pub struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes of a window: short, because an entry may be long while only its head is read.
    const LENGTH: u64 = 4 << 10;

    /// Returns `[at, at + length)`, of which `length` is at most 4 KiB; `None` when the file ends
    /// before that does.
    ///
    /// # Errors
    ///
    /// As [`read_exact`].
    pub fn get(&mut self, blob: &dyn Blob, at: u64, length: u64) -> Result<Option<&[u8]>, FormatError> {
        let Some(end) = at.checked_add(length).filter(|end| *end <= blob.size()) else { return Ok(None) };
        let held = at >= self.start && end - self.start <= to_u64(self.bytes.len());
        if !held {
            self.bytes = read_exact(blob, at, Self::LENGTH.min(blob.size() - at))?;
            self.start = at;
        }
        let skip = to_usize(at - self.start)?;
        Ok(self.bytes.get(skip..).and_then(|bytes| bytes.get(..to_usize(length).ok()?)))
    }
}
