//! The table of internal snapshots. Reading the disk does not need them; their tables hold clusters
//! in use.
//!
//! An entry: u64 L1 offset, u32 L1 entries, u16 length of the id, u16 of the name, u32 seconds
//! since 1970, u32 nanoseconds, u64 clock of the machine, u32 size of the machine state, u32 length
//! of the extra data; then extra data (u64 size of the machine state, u64 size of the disk, more),
//! id, name, padded to 8.

use chrono::{DateTime, SecondsFormat};
use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{Window, end_of, read_exact},
        wire::{be16, be32, be64},
    },
    host::Blob,
    types::ByteRange,
};

use crate::header::Header;

const HEAD: u64 = 40;
const MAX_ENTRY: u64 = 64 << 10;
const MAX_L1_BYTES: u64 = 32 << 20;
/// How many snapshots are described.
const LISTED: u32 = 32;
/// Bytes of an id or a name that are shown.
const MAX_TEXT: usize = 255;

/// An internal snapshot, as far as its place matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// Its L1 table.
    pub(crate) l1: ByteRange,
    /// Its entry in the snapshot table.
    pub(crate) place: ByteRange,
}

/// Returns what the first snapshots are, in a sentence each. Ids and names are what the file says:
/// untrusted text.
pub(crate) fn list(blob: &dyn Blob, header: &Header) -> Result<Vec<String>, FormatError> {
    let mut listed = Vec::new();
    let mut snapshots = Entries::from(header.snapshots_offset, header.snapshots.min(LISTED));
    while let Some(Snapshot { place, .. }) = snapshots.next(blob, header)? {
        let entry = read_exact(blob, place.offset, place.length)?;
        listed.push(describe(&entry).ok_or_else(|| {
            FormatError::Table(format!(
                "the entry of a snapshot at {:#x} ends inside its fields",
                place.offset
            ))
        })?);
    }
    Ok(listed)
}

fn describe(entry: &[u8]) -> Option<String> {
    let (id, name) = (usize::from(be16(entry, 12)?), usize::from(be16(entry, 14)?));
    let extra = usize::try_from(be32(entry, 36)?).ok()?;
    let (extra, texts) = entry.get(usize::try_from(HEAD).ok()?..)?.split_at_checked(extra)?;
    let (id, rest) = texts.split_at_checked(id)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes)).into_owned();
    let taken =
        DateTime::from_timestamp(be32(entry, 16)?.into(), 0)?.to_rfc3339_opts(SecondsFormat::Secs, true);
    let state = be64(extra, 0).unwrap_or(be32(entry, 32)?.into());
    let mut description = format!("'{}', id {}, taken {taken}", text(rest.get(..name)?), text(id));
    if let Some(size) = be64(extra, 8) {
        description.push_str(&format!(", disk of {size} bytes"));
    }
    if state > 0 {
        description.push_str(&format!(", with {state} bytes of machine state"));
    }
    Some(description)
}

/// The entries of a snapshot table, one after the other, as far as they were counted.
pub(crate) struct Entries {
    at: u64,
    left: u32,
    window: Window,
}

impl Entries {
    /// The `count` entries from the one at `at` of the file on.
    pub(crate) fn from(at: u64, count: u32) -> Self {
        Self { at, left: count, window: Window::default() }
    }

    /// Where the next entry begins.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn next(&mut self, blob: &dyn Blob, header: &Header) -> Result<Option<Snapshot>, FormatError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let snapshot = read_entry(blob, header, &mut self.window, self.at)?;
        self.at = end_of(snapshot.place);
        self.left = left;
        Ok(Some(snapshot))
    }
}

fn read_entry(
    blob: &dyn Blob,
    header: &Header,
    window: &mut Window,
    at: u64,
) -> Result<Snapshot, FormatError> {
    let outside = || FormatError::Table(format!("the snapshot table runs out of the file at {at:#x}"));
    let head = window.get(blob, at, HEAD)?.ok_or_else(outside)?;
    let fields = (be64(head, 0), be32(head, 8), be16(head, 12), be16(head, 14), be32(head, 36));
    let (Some(offset), Some(entries), Some(id), Some(name), Some(extra)) = fields else {
        return Err(outside());
    };
    // The padding of the last entry may be missing where the file ends.
    let length = HEAD + u64::from(extra) + u64::from(id) + u64::from(name);
    let rest = blob.size().saturating_sub(at);
    if length > MAX_ENTRY + HEAD || length > rest {
        return Err(outside());
    }
    let length = length.next_multiple_of(8).min(rest);
    let l1 = ByteRange { offset, length: u64::from(entries) * 8 };
    let inside = offset.checked_add(l1.length).is_some_and(|end| end <= blob.size());
    if !inside || l1.length > MAX_L1_BYTES || !offset.is_multiple_of(header.cluster()) {
        return Err(FormatError::Table(format!(
            "the L1 table of the snapshot at {at:#x} is outside of the file"
        )));
    }
    Ok(Snapshot { l1, place: ByteRange { offset: at, length } })
}
