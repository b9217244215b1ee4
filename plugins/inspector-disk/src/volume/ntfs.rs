//! NTFS, by its boot sector. Its label and what it uses are in files of its own.

use super::{Content, Kind, Volume};
use crate::bytes::{byte, is_at, le16, le64};

/// Recognises NTFS.
pub(super) fn recognise(head: &[u8]) -> Option<Volume> {
    let sector = le16(head, 11);
    if !is_at(head, 3, b"NTFS    ") || !matches!(sector, 512 | 1024 | 2048 | 4096) || byte(head, 13) == 0 {
        return None;
    }
    let mut volume = Volume::new("ntfs", Content::Files(Kind::Ntfs));
    volume.found.size = le64(head, 40).checked_mul(u64::from(sector));
    let serial = le64(head, 72);
    volume.found.uuid = (serial != 0).then(|| format!("{serial:016X}"));
    Some(volume)
}
