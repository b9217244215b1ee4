//! A small XFS file system of version 4, made by hand: one group of 16 MiB.

use crate::Bytes;

const BLOCK: u64 = 4096;
const BLOCKS: u64 = 4096;
/// The block with inodes, the number of its first one, and the bytes of one.
const INODES: u64 = 8;
const ROOT: u64 = INODES << 4;
const INODE: u64 = 256;
/// The block with the tree of free space, and one that is free.
const TREE: u64 = 2;
const FREE: u64 = 20;

/// A file system with an empty root folder.
pub struct Xfs(Bytes);

impl Default for Xfs {
    fn default() -> Self {
        Self::new()
    }
}

impl Xfs {
    /// A file system that is valid.
    pub fn new() -> Self {
        let mut disk = Bytes::new();
        disk.put(0, b"XFSB").be32(4, 4096).be64(8, BLOCKS).put(32, &[9; 16]).be64(56, ROOT);
        disk.be32(84, 4096).be32(88, 1).be16(100, 4).be16(102, 512).be16(104, 256).be16(106, 16);
        disk.put(108, b"by-hand").put(120, &[12, 9, 8, 4, 12]).be64(144, 4000);
        disk.put(512, b"XAGF").be32(516, 1).be32(524, 4096).be32(528, 2).be32(540, 1);
        disk.put(TREE * BLOCK, b"ABTB")
            .be16(TREE * BLOCK + 6, 1)
            .be32(TREE * BLOCK + 16, 96)
            .be32(TREE * BLOCK + 20, 4000);
        let mut xfs = Self(disk);
        xfs.inode(0, 0x41ed, 1, 6);
        let fork = fork(0);
        xfs.0.put(fork, &[0, 0]).be32(fork + 2, u32::try_from(ROOT).expect("it is small"));
        xfs.0.resize(BLOCKS * BLOCK);
        xfs
    }

    fn inode(&mut self, slot: u64, mode: u16, format: u8, size: u64) {
        let at = INODES * BLOCK + slot * INODE;
        self.0.put(at, b"IN").be16(at + 2, mode).put(at + 4, &[2, format]).be64(at + 56, size);
    }

    /// The root folder has one name, `etc`.
    fn etc(&mut self, inode: u64) {
        let at = fork(0);
        self.0.put(at, &[1, 0]).put(at + 6, &[3, 0, 0x60]).put(at + 9, b"etc");
        self.0.be32(at + 12, u32::try_from(inode).expect("it is small"));
    }

    /// `/etc` is a symbolic link to `/etc`.
    pub fn link_circle(&mut self) {
        self.etc(ROOT + 1);
        self.inode(1, 0xa1ff, 1, 4);
        self.0.put(fork(1), b"/etc");
    }

    /// `/etc` is the root folder.
    pub fn folder_circle(&mut self) {
        self.etc(ROOT);
    }

    /// The blocks of the root folder are in a tree whose one node is its own child.
    pub fn tree_circle(&mut self) {
        self.inode(0, 0x41ed, 3, BLOCK);
        let at = fork(0);
        let room = (INODE - 100 - 4) / 16;
        self.0.be16(at, 2).be16(at + 2, 1).be64(at + 4 + room * 8, FREE);
        let node = FREE * BLOCK;
        let room = (BLOCK - 24) / 16;
        self.0.put(node, b"BMAP").be16(node + 4, 1).be16(node + 6, 1).be64(node + 24 + room * 8, FREE);
    }

    /// The tree of free space is one node that is its own child.
    pub fn free_circle(&mut self) {
        let room = (BLOCK - 16) / 12;
        self.0.be32(540, 9).be32(TREE * BLOCK + 16 + room * 8, 2);
    }

    /// The root folder says that it has more extents than any file.
    pub fn many_extents(&mut self) {
        self.inode(0, 0x41ed, 2, 1 << 40);
        self.0.be32(INODES * BLOCK + 76, u32::MAX);
    }

    /// The disk, to change.
    pub fn bytes(&mut self) -> &mut Bytes {
        &mut self.0
    }

    /// The disk.
    pub fn disk(&self) -> &Bytes {
        &self.0
    }
}

/// Where the fork of an inode begins.
fn fork(slot: u64) -> u64 {
    INODES * BLOCK + slot * INODE + 100
}
