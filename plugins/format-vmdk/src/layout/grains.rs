//! What of a new file is the same for every variant.

use imprint_plugin_sdk::format::{FormatError, Placed};

use crate::sector::SECTOR;

/// Bytes of a grain.
pub(super) const GRAIN: u64 = 64 << 10;
/// Entries of a grain table.
pub(super) const ENTRIES: usize = 512;
/// Bytes of the disk that a grain table describes.
pub(super) const SPAN: u64 = 32 << 20;

pub(super) fn bad_run(what: &str, run: &Placed) -> FormatError {
    let Placed { offset, length, file_offset, stored_length } = run;
    FormatError::Request(format!(
        "the placement of {length} bytes at {offset:#x} ({stored_length} encoded) at {file_offset:#x} of the file {what}"
    ))
}

/// Returns a byte offset as the sector number of a table's entry.
pub(super) fn entry(offset: u64) -> Result<u32, FormatError> {
    u32::try_from(offset / SECTOR).map_err(|_| {
        FormatError::VirtualSize(
            "the file would be longer than 2 TiB, which grain tables cannot describe; choose another format"
                .to_owned(),
        )
    })
}

pub(super) fn too_many_tables() -> FormatError {
    FormatError::LayoutMemory(
        "the layout of this image needs more memory than the limit; write it as `streamOptimized`".to_owned(),
    )
}
