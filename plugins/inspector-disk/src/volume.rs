//! What fills a partition, a logical volume or the disk, by its superblock. Superblocks are read
//! with a bound on every number; nothing here follows a pointer except within LVM's own text.

mod btrfs;
mod ext;
mod fat;
mod iso;
mod lvm;
mod marks;
mod ntfs;
mod xfs;

use imprint_plugin_sdk::{
    error::{Error, Result},
    inspector::FileSystem,
};

pub(crate) use self::xfs::{Layout as XfsLayout, layout as xfs_layout};
use crate::window::{Segment, Window};

/// The bytes at the start of a window that superblocks are in: that of btrfs is at 64 KiB, that of
/// UFS ends within the next 8 KiB.
const HEAD: usize = 72 << 10;

/// What was recognised.
pub(crate) struct Volume {
    pub(crate) found: FileSystem,
    pub(crate) content: Content,
    /// Why a part of what the superblock says was not read.
    pub(crate) failed: Option<Error>,
}

/// What is in it.
pub(crate) enum Content {
    /// Nothing to look at.
    None,
    /// Files, which can be read.
    Files(Kind),
    /// An optical disc, with the firmware that it starts by.
    Disc { bios: bool, uefi: bool },
    /// Logical volumes, each with its pieces on the disk.
    Volumes(Vec<Vec<Segment>>),
    /// Files of a BSD, which are not read.
    Bsd,
    /// Files or volumes that are not read, and the reason.
    Closed(Error),
}

/// Whose files they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext,
    Xfs,
    Fat,
    Ntfs,
}

impl Volume {
    fn new(kind: &str, content: Content) -> Self {
        let found = FileSystem { kind: kind.to_owned(), ..FileSystem::default() };
        Self { found, content, failed: None }
    }
}

/// Recognises what a window holds; `None` for nothing that is known.
pub(crate) fn recognise(window: &Window) -> Result<Option<Volume>> {
    let head = window.head(HEAD)?;
    let recognised = marks::encrypted(&head)
        .or_else(|| lvm::recognise(window, &head))
        .or_else(|| xfs::recognise(window, &head))
        .or_else(|| ntfs::recognise(&head))
        .or_else(|| fat::recognise(window, &head))
        .or_else(|| ext::recognise(window, &head))
        .or_else(|| iso::recognise(window, &head))
        .or_else(|| btrfs::recognise(&head))
        .or_else(|| marks::other(window, &head));
    Ok(recognised.map(|mut volume| {
        volume.found.offset = window.offset();
        volume
    }))
}
