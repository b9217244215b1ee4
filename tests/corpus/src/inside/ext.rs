//! A small ext2 file system, made by hand: one group of blocks of 1 KiB.

use crate::Bytes;

const BLOCK: u64 = 1024;
const SUPERBLOCK: u64 = 1024;
const DESCRIPTOR: u64 = 2 * BLOCK;
const INODES: u64 = 5 * BLOCK;
/// The block of the root folder, and those that follow it for others.
const ROOT: u64 = 20;
const FREE: u64 = 21;

/// A file system with an empty root folder.
pub struct Ext(Bytes);

impl Default for Ext {
    fn default() -> Self {
        Self::new()
    }
}

impl Ext {
    /// A file system that is valid.
    pub fn new() -> Self {
        let mut disk = Bytes::new();
        let s = SUPERBLOCK;
        disk.le32(s, 64).le32(s + 4, 1024).le32(s + 12, 900).le32(s + 16, 50).le32(s + 0x14, 1);
        disk.le32(s + 0x20, 8192).le32(s + 0x24, 8192).le32(s + 0x28, 64).le16(s + 0x38, 0xef53);
        disk.le16(s + 0x3a, 1).le32(s + 0x4c, 1).le32(s + 0x54, 11).le16(s + 0x58, 128).le32(s + 0x60, 2);
        disk.put(s + 0x68, &[7; 16]).put(s + 0x78, b"by-hand");
        disk.le32(DESCRIPTOR, 3).le32(DESCRIPTOR + 4, 4).le32(DESCRIPTOR + 8, 5).le16(DESCRIPTOR + 12, 900);
        disk.put(3 * BLOCK, &[0xff; 4]);
        let mut ext = Self(disk);
        ext.inode(2, 0x41ed, 1024, &[u32::try_from(ROOT).expect("it is small")]);
        ext.0.put(ROOT * BLOCK, &entry(2, 12, 2, b".")).put(ROOT * BLOCK + 12, &entry(2, 1012, 2, b".."));
        ext.0.resize(1 << 20);
        ext
    }

    fn inode(&mut self, number: u64, mode: u16, size: u32, blocks: &[u32]) {
        let at = INODES + (number - 1) * 128;
        self.0.le16(at, mode).le32(at + 4, size).le16(at + 26, 1).le32(at + 28, 2);
        for (index, block) in (0_u64..).zip(blocks) {
            self.0.le32(at + 40 + index * 4, *block);
        }
    }

    /// Sets a number of the superblock.
    pub fn superblock32(&mut self, at: u64, value: u32) {
        self.0.le32(SUPERBLOCK + at, value);
    }

    /// Sets a number of the superblock.
    pub fn superblock16(&mut self, at: u64, value: u16) {
        self.0.le16(SUPERBLOCK + at, value);
    }

    /// Sets a number of the descriptor of the group.
    pub fn descriptor32(&mut self, at: u64, value: u32) {
        self.0.le32(DESCRIPTOR + at, value);
    }

    /// Puts a name into the root folder.
    pub fn folder(&mut self, name: &str, inode: u32) {
        self.0.put(ROOT * BLOCK + 12, &entry(2, 12, 2, b".."));
        self.0.put(ROOT * BLOCK + 24, &entry(inode, 1000, 2, name.as_bytes()));
    }

    /// Gives the first entry of the root folder another length.
    pub fn entry_length(&mut self, length: u16) {
        self.0.le16(ROOT * BLOCK + 4, length);
    }

    /// `/etc` is a symbolic link to `/etc`.
    pub fn link_circle(&mut self) {
        self.folder("etc", 12);
        self.inode(12, 0xa1ff, 4, &[u32::from_le_bytes(*b"/etc")]);
    }

    /// The blocks of the root folder are in a tree whose one node is its own child.
    pub fn tree_circle(&mut self) {
        let at = INODES + 128;
        self.superblock32(0x60, 0x42);
        let node = u32::try_from(FREE).expect("it is small");
        self.0.le32(at + 32, 0x80000);
        for place in [at + 40, FREE * BLOCK] {
            self.0.le16(place, 0xf30a).le16(place + 2, 1).le16(place + 4, 4).le16(place + 6, 1);
            self.0.le32(place + 12, 0).le32(place + 16, node);
        }
    }

    /// Cuts the disk off.
    pub fn cut(&mut self, size: u64) {
        self.0.resize(size);
    }

    /// The disk.
    pub fn disk(&self) -> &Bytes {
        &self.0
    }
}

fn entry(inode: u32, length: u16, kind: u8, name: &[u8]) -> Vec<u8> {
    let mut bytes = inode.to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend([u8::try_from(name.len()).expect("a short name"), kind]);
    bytes.extend(name);
    bytes
}
