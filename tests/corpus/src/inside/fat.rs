//! A small FAT 16 file system, made by hand.

use crate::Bytes;

const SECTOR: u64 = 512;
const TABLE: u64 = SECTOR;
const TABLE_SECTORS: u16 = 20;
const ROOT: u64 = TABLE + 20 * SECTOR;
const DATA: u64 = ROOT + 32 * SECTOR;

/// A file system with a folder `EFI` in its root.
pub struct Fat(Bytes);

impl Default for Fat {
    fn default() -> Self {
        Self::new()
    }
}

impl Fat {
    /// A file system that is valid.
    pub fn new() -> Self {
        let mut disk = Bytes::new();
        disk.put(0, b"\xeb\x3c\x90MSDOS5.0").le16(11, 512).put(13, &[1]).le16(14, 1).put(16, &[1]);
        disk.le16(17, 512).le16(19, 5120).put(21, &[0xf8]).le16(22, TABLE_SECTORS).le16(24, 32).le16(26, 2);
        disk.put(36, &[0x80, 0, 0x29]).le32(39, 0x1234_5678).put(43, b"BY-HAND    FAT16   ");
        disk.put(510, &[0x55, 0xaa]).le16(TABLE, 0xfff8).le16(TABLE + 2, 0xffff).le16(TABLE + 4, 0xffff);
        disk.put(ROOT, b"EFI        \x10").le16(ROOT + 26, 2);
        disk.put(DATA, b".          \x10").put(DATA + 32, b"..         \x10");
        disk.resize(5120 * SECTOR);
        Self(disk)
    }

    /// The cluster of `EFI` is followed by itself, and full of names.
    #[must_use]
    pub fn circle(mut self) -> Self {
        self.0.le16(TABLE + 4, 2);
        for entry in 2..16 {
            self.0.put(DATA + entry * 32, b"NOTHING TXT\x20");
        }
        self
    }

    /// Says that it has so many sectors.
    #[must_use]
    pub fn sectors(mut self, count: u32) -> Self {
        self.0.le16(19, 0).le32(32, count);
        self
    }

    /// The disk.
    pub fn disk(&self) -> Bytes {
        self.0.clone()
    }
}
