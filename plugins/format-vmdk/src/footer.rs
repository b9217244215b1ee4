//! The footer of a stream, which has the place of the grain directory.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::read_exact,
        wire::{le32, to_u64},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    header::{HEADER, Header},
    sector::SECTOR,
};

/// The types of markers.
pub(crate) const MARKER_FOOTER: u32 = 3;
pub(crate) const MARKER_END: u32 = 0;
/// How far from the end of the file the footer is looked for: programs that pad files append
/// zeroes.
const MAX_BEHIND: u64 = 1 << 20;

/// The footer with its markers.
pub(crate) struct Footer {
    /// The header that it repeats, with the place of the directory.
    pub(crate) header: Header,
    /// From its marker to the end of the file.
    pub(crate) range: ByteRange,
    /// What is odd about what follows it.
    pub(crate) remark: Option<String>,
}

impl Footer {
    /// Finds the footer: the last sectors of the file that are not zero. The marker of the end is
    /// zero.
    pub(crate) fn find(blob: &dyn Blob, header: &Header) -> Result<Self, FormatError> {
        let missing = |what: &str| FormatError::Truncated(format!("the stream's footer {what}"));
        let size = blob.size();
        let start = size.saturating_sub(MAX_BEHIND).max(HEADER).next_multiple_of(SECTOR);
        let Some(length) = size.checked_sub(start) else { return Err(missing("is missing")) };
        let bytes = read_exact(blob, start, length)?;
        let last = bytes.iter().rposition(|byte| *byte != 0).ok_or_else(|| missing("is missing"))?;
        let at = to_u64(last) / SECTOR * SECTOR;
        let sector = |at: u64| usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let Some(marker) = at.checked_sub(SECTOR) else { return Err(missing("is missing")) };
        let is_marker = (le32(sector(marker), 8), le32(sector(marker), 12)) == (Some(0), Some(MARKER_FOOTER));
        if !is_marker {
            return Err(missing("is not at the end of the file"));
        }
        let footer = Header::parse(sector(at))?;
        if !header.agrees(&footer) {
            return Err(FormatError::Header("the footer describes another disk than the header".to_owned()));
        }
        let Some(behind) = (length - at).checked_sub(SECTOR) else {
            return Err(missing("is not complete"));
        };
        let remark = match behind.checked_sub(SECTOR) {
            None => Some("the stream has no end marker behind its footer".to_owned()),
            Some(0) => None,
            Some(zeroes) => Some(format!("{zeroes} bytes of zeroes follow the end of the stream")),
        };
        let range = ByteRange { offset: start + marker, length: length - marker };
        Ok(Self { header: footer, range, remark })
    }
}
