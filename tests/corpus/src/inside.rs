//! Disks with hostile insides: partition tables, file systems and volumes that lead an inspector in
//! circles, claim what they do not have, or break off. The disks themselves are plain raw ones.

mod ext;
mod fat;
mod gpt;
pub mod hive;
mod xfs;

use crate::Bytes;

pub use self::{ext::Ext, fat::Fat, gpt::Gpt, xfs::Xfs};

/// What has to come of a look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One of the parts that were not read has one of these codes.
    Reported(&'static [&'static str]),
    /// Nothing is wrong that has to be reported: what is odd is bounded.
    Bounded,
}

/// A disk with a hostile inside.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique.
    pub id: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// The disk.
    pub disk: Bytes,
    /// What has to come of it.
    pub expected: Look,
}

const CORRUPT: Look = Look::Reported(&["inspect.corrupt"]);
const BUDGET: Look = Look::Reported(&["inspect.budget"]);
/// Only the sandbox ends it: its reader goes in a circle without reading from the disk.
const SANDBOX: Look = Look::Reported(&["plugin.memory-limit", "plugin.cpu-limit"]);
const ANY: Look = Look::Reported(&["inspect.corrupt", "inspect.budget", "inspect.unsupported", "plugin."]);

impl Case {
    /// Returns whether a look ends without the limits of a sandbox.
    pub fn ends_natively(&self) -> bool {
        self.expected != SANDBOX
    }
}

fn case(id: &'static str, what: &'static str, disk: &Bytes, expected: Look) -> Case {
    Case { id, what, disk: disk.clone(), expected }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    [tables(), ext_cases(), xfs_cases(), other_file_systems(), volumes()].concat()
}

fn tables() -> Vec<Case> {
    let mut chain = crate::raw::with_table();
    // An extended partition whose second table is its first one.
    chain.put(446, &[0, 0, 0, 0, 0x05, 0, 0, 0]).le32(454, 64).le32(458, 1024);
    chain.put(64 * 512 + 446 + 16, &[0, 0, 0, 0, 0x05, 0, 0, 0]);
    chain.le32(64 * 512 + 446 + 24, 0).le32(64 * 512 + 446 + 28, 64).put(64 * 512 + 510, &[0x55, 0xaa]);
    let mut far = crate::raw::with_table();
    far.le32(454, u32::MAX).le32(458, u32::MAX);
    let mut cut = chain.clone();
    cut.le32(454, 4096);
    vec![
        case("in-mbr-circle", "an extended partition that leads to itself", &chain, CORRUPT),
        case("in-mbr-far", "a partition behind the end of the disk", &far, CORRUPT),
        case("in-mbr-cut", "an extended partition behind the end of the disk", &cut, CORRUPT),
        case(
            "in-gpt-entries",
            "a GPT with 2^32 - 1 entries",
            &Gpt::new().entries(u32::MAX, 128).disk(),
            CORRUPT,
        ),
        case(
            "in-gpt-entry-size",
            "a GPT with entries of 2^31 bytes",
            &Gpt::new().entries(128, 1 << 31).disk(),
            CORRUPT,
        ),
        case("in-gpt-zero", "a GPT with entries of no bytes", &Gpt::new().entries(128, 0).disk(), CORRUPT),
        case(
            "in-gpt-away",
            "a GPT with entries at the largest address",
            &Gpt::new().at(u64::MAX).disk(),
            CORRUPT,
        ),
        case(
            "in-gpt-checksum",
            "a GPT with a wrong checksum, and no copy",
            &Gpt::new().broken().disk(),
            CORRUPT,
        ),
        case(
            "in-gpt-backwards",
            "a partition that ends before it begins",
            &Gpt::new().part(4000, 100).disk(),
            Look::Bounded,
        ),
        case(
            "in-gpt-everywhere",
            "a partition from the first to the last address",
            &Gpt::new().part(0, u64::MAX).disk(),
            Look::Bounded,
        ),
    ]
}

fn ext_cases() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Ext)| {
        let mut ext = Ext::new();
        change(&mut ext);
        ext.disk().clone()
    };
    vec![
        case(
            "in-ext-giant",
            "2^64 blocks in a MiB",
            &with(&|e| {
                e.superblock32(4, u32::MAX);
                e.superblock32(0x150, u32::MAX);
                e.superblock32(0x60, 0x82);
            }),
            CORRUPT,
        ),
        case("in-ext-block-size", "blocks of 2^42 bytes", &with(&|e| e.superblock32(0x18, 32)), CORRUPT),
        case(
            "in-ext-free",
            "more free blocks than blocks",
            &with(&|e| e.superblock32(12, u32::MAX)),
            CORRUPT,
        ),
        case("in-ext-no-groups", "groups of no blocks", &with(&|e| e.superblock32(0x20, 0)), CORRUPT),
        case("in-ext-many-groups", "groups of one block", &with(&|e| e.superblock32(0x20, 1)), Look::Bounded),
        case("in-ext-no-inodes", "groups without inodes", &with(&|e| e.superblock32(0x28, 0)), ANY),
        case("in-ext-inode-size", "inodes of no bytes", &with(&|e| e.superblock16(0x58, 0)), ANY),
        case(
            "in-ext-tree-circle",
            "a tree of extents that leads to itself",
            &with(&|e| e.tree_circle()),
            SANDBOX,
        ),
        case(
            "in-ext-folder-circle",
            "a folder that is in itself",
            &with(&|e| e.folder("etc", 2)),
            Look::Bounded,
        ),
        case("in-ext-link-circle", "a symbolic link to itself", &with(&|e| e.link_circle()), Look::Bounded),
        case(
            "in-ext-bitmap-away",
            "a bitmap behind the end of the disk",
            &with(&|e| e.descriptor32(0, u32::MAX)),
            CORRUPT,
        ),
        case(
            "in-ext-table-away",
            "a table of inodes behind the end of the disk",
            &with(&|e| e.descriptor32(8, u32::MAX)),
            ANY,
        ),
        case(
            "in-ext-entry-length",
            "an entry of a folder without a length",
            &with(&|e| e.entry_length(0)),
            ANY,
        ),
        case("in-ext-cut", "a superblock that is cut off", &with(&|e| e.cut(1500)), Look::Bounded),
    ]
}

fn xfs_cases() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Xfs)| {
        let mut xfs = Xfs::new();
        change(&mut xfs);
        xfs.disk().clone()
    };
    vec![
        case(
            "in-xfs-giant",
            "2^63 blocks in 16 MiB",
            &with(&|x| {
                x.bytes().be64(8, 1 << 63);
            }),
            CORRUPT,
        ),
        case(
            "in-xfs-block-size",
            "blocks of no bytes",
            &with(&|x| {
                x.bytes().be32(4, 0);
            }),
            CORRUPT,
        ),
        case(
            "in-xfs-inodes",
            "inodes of 2^15 bytes",
            &with(&|x| {
                x.bytes().be16(104, 1 << 15);
            }),
            CORRUPT,
        ),
        case(
            "in-xfs-groups",
            "2^32 - 1 groups",
            &with(&|x| {
                x.bytes().be32(88, u32::MAX);
            }),
            CORRUPT,
        ),
        case(
            "in-xfs-root",
            "a root at the largest number",
            &with(&|x| {
                x.bytes().be64(56, u64::MAX);
            }),
            CORRUPT,
        ),
        case(
            "in-xfs-free-circle",
            "a tree of free space that leads to itself",
            &with(&|x| x.free_circle()),
            CORRUPT,
        ),
        case(
            "in-xfs-tree-circle",
            "a tree of extents that leads to itself",
            &with(&|x| x.tree_circle()),
            CORRUPT,
        ),
        case("in-xfs-link-circle", "a symbolic link to itself", &with(&|x| x.link_circle()), Look::Bounded),
        case(
            "in-xfs-folder-circle",
            "a folder that is in itself",
            &with(&|x| x.folder_circle()),
            Look::Bounded,
        ),
        case("in-xfs-extents", "a folder of 2^32 - 1 extents", &with(&|x| x.many_extents()), BUDGET),
    ]
}

fn other_file_systems() -> Vec<Case> {
    let mut ntfs = Bytes::new();
    ntfs.put(0, b"\xebR\x90NTFS    ").le16(11, 512).put(13, &[8]).le64(40, 2047).le64(48, u64::MAX);
    ntfs.put(64, &[0xf6]).put(68, &[1]).put(510, &[0x55, 0xaa]).resize(1 << 20);
    let mut empty_ntfs = ntfs.clone();
    empty_ntfs.le64(48, 4);
    let mut large_ntfs = empty_ntfs.clone();
    // File records of 2^127 bytes.
    large_ntfs.put(64, &[0x81]);
    let mut disc = crate::foreign::iso();
    disc.put(34816, b"\0CD001\x01EL TORITO SPECIFICATION").le32(34816 + 0x47, u32::MAX);
    let mut btrfs = Bytes::new();
    btrfs.put(65536 + 0x40, b"_BHRfS_M").put(65536 + 0x12b, &[0x1b; 256]).le64(65536 + 0x78, u64::MAX);
    btrfs.resize(1 << 20);
    vec![
        case(
            "in-fat-circle",
            "a folder with clusters that lead in a circle",
            &Fat::new().circle().disk(),
            BUDGET,
        ),
        case(
            "in-fat-short",
            "a table of clusters that is shorter than the file system",
            &Fat::new().sectors(u32::MAX).disk(),
            ANY,
        ),
        case("in-ntfs-far", "file records behind the end of the disk", &ntfs, ANY),
        case("in-ntfs-empty", "file records that are zeroes", &empty_ntfs, ANY),
        case("in-ntfs-records", "file records of 2^127 bytes", &large_ntfs, ANY),
        case("in-iso-catalogue", "a boot catalogue behind the end of the disc", &disc, Look::Bounded),
        case(
            "in-btrfs-label",
            "a label of control characters, and more bytes in use than there are",
            &btrfs,
            Look::Reported(&["inspect.unsupported"]),
        ),
    ]
}

fn volumes() -> Vec<Case> {
    let physical = |text: &[u8], length: u64| {
        let mut disk = Bytes::new();
        disk.put(512, b"LABELONE").le32(512 + 20, 32).put(512 + 24, b"LVM2 001");
        disk.put(544, b"abcdefabcdabcdabcdabcdabcdabcdef").le64(576, 1 << 20).le64(584, 1 << 19);
        // Behind the end of the list of data areas is the one area of metadata.
        disk.le64(616, 4096).le64(624, 1 << 19);
        disk.put(4100, b" LVM2 x[5A%r0N*>").le64(4136, 512).le64(4144, length);
        disk.put(4096 + 512, text).resize(1 << 20);
        disk
    };
    let deep = b"a{\n".repeat(100_000);
    let length = u64::try_from(deep.len()).expect("it fits");
    let mut luks = Bytes::new();
    luks.put(0, b"LUKS\xba\xbe\0\x02").put(168, &[0xff; 40]).resize(1 << 20);
    vec![
        case("in-lvm-giant", "metadata of 2^64 - 1 bytes", &physical(b"", u64::MAX), CORRUPT),
        case(
            "in-lvm-deep",
            "metadata of 100 000 sections in each other",
            &physical(&deep, length),
            Look::Reported(&["inspect.unsupported"]),
        ),
        case(
            "in-luks",
            "an encrypted volume with a UUID of no text",
            &luks,
            Look::Reported(&["inspect.encrypted"]),
        ),
    ]
}
