//! What is recognised by its mark and not looked into.

use super::{Content, Volume};
use crate::{
    bytes::{be16, is_at, le32, text, unsupported, uuid},
    window::Window,
};

/// The sizes of pages that swap areas are made for.
const PAGES: [usize; 3] = [4096, 16384, 65536];
/// Where the superblocks of UFS 1 and UFS 2 are, and their marks.
const UFS: [(usize, u32); 2] = [(8 << 10, 0x0001_1954), (64 << 10, 0x1954_0119)];
/// The offset of the mark in a superblock of UFS.
const UFS_MARK: usize = 1372;

/// Recognises what is encrypted.
pub(super) fn encrypted(head: &[u8]) -> Option<Volume> {
    let mut volume = if is_at(head, 0, b"LUKS\xba\xbe") {
        let mut volume = Volume::new("luks", Content::None);
        volume.found.uuid = text(head, 168, 40);
        // The first version has no label.
        volume.found.label = if be16(head, 6) == 2 { text(head, 24, 48) } else { None };
        volume
    } else if is_at(head, 3, b"-FVE-FS-") {
        Volume::new("bitlocker", Content::None)
    } else {
        return None;
    };
    volume.found.encrypted = true;
    let error = imprint_plugin_sdk::error::Error::denied(
        "inspect.encrypted",
        "its content is encrypted; what is in it cannot be said",
    );
    volume.content = Content::Closed(error);
    Some(volume)
}

/// Recognises the rest.
pub(super) fn other(window: &Window, head: &[u8]) -> Option<Volume> {
    for page in PAGES {
        if is_at(head, page - 10, b"SWAPSPACE2") || is_at(head, page - 10, b"SWAP-SPACE") {
            let mut volume = Volume::new("swap", Content::None);
            volume.found.uuid = uuid(head, 1036);
            volume.found.label = text(head, 1052, 16);
            let pages = u64::from(le32(head, 1028)).saturating_add(1);
            volume.found.size = pages.checked_mul(u64::try_from(page).ok()?);
            // What is swapped out is not kept: only the header is in use.
            volume.found.used_until = u64::try_from(page).ok();
            return Some(volume);
        }
    }
    if UFS.iter().any(|(at, mark)| le32(head, at + UFS_MARK) == *mark) {
        return Some(Volume::new("ufs", Content::Bsd));
    }
    if is_at(head, 3, b"EXFAT   ") {
        let error = unsupported("the files of exFAT are not read; no system starts from it");
        return Some(Volume::new("exfat", Content::Closed(error)));
    }
    let is_zfs = window.bytes(128 << 10, 4096).is_ok_and(|block| {
        block.chunks_exact(1024).any(|uber| is_at(uber, 0, &0x00ba_b10c_u64.to_le_bytes()))
    });
    is_zfs.then(|| Volume::new("zfs", Content::Closed(unsupported("the files of ZFS are not read"))))
}
