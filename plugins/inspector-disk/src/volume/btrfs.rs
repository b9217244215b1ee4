//! btrfs, by its superblock.

use super::{Content, Volume};
use crate::bytes::{is_at, le64, text, unsupported, uuid};

/// Where the superblock is.
const SUPERBLOCK: usize = 64 << 10;

/// Recognises btrfs.
pub(super) fn recognise(head: &[u8]) -> Option<Volume> {
    let superblock = head.get(SUPERBLOCK..)?;
    if !is_at(superblock, 0x40, b"_BHRfS_M") {
        return None;
    }
    let error = unsupported("the files of btrfs are not read: what is installed in it cannot be said");
    let mut volume = Volume::new("btrfs", Content::Closed(error));
    volume.found.uuid = uuid(superblock, 0x20);
    volume.found.label = text(superblock, 0x12b, 256);
    volume.found.size = Some(le64(superblock, 0x70));
    volume.found.used = Some(le64(superblock, 0x78));
    Some(volume)
}
