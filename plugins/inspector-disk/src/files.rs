//! The files of a file system: each kind by a reader of its own, behind one trait.

mod ext;
mod fat;
mod ntfs;
mod xfs;

use imprint_plugin_sdk::error::Result;

pub(crate) use self::ntfs::Usage;
use crate::{volume::Kind, window::Window};

/// The files of a file system, by paths with `/` in front and between names. What does not exist is
/// no error.
pub(crate) trait Files {
    /// Returns whether a file or a folder exists, behind symbolic links.
    fn exists(&mut self, path: &str) -> Result<bool>;

    /// Returns the first bytes of a file, at most `max`; `None` where there is no such file.
    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>>;

    /// Returns names in a folder, at most `max`; none where there is no such folder, and none for a
    /// kind whose folders nothing lists.
    fn names(&mut self, path: &str, max: usize) -> Result<Vec<String>> {
        let _ = (path, max);
        Ok(Vec::new())
    }

    /// Opens a file that is too long to be read whole, and returns whether there is one.
    fn open(&mut self, path: &str, look: &mut dyn FnMut(&mut dyn ReadAt) -> Result<()>) -> Result<bool> {
        let _ = (path, look);
        Ok(false)
    }

    /// Returns what the file system says of itself in files of its own.
    fn usage(&mut self) -> Result<Usage> {
        Ok(Usage::default())
    }
}

/// A file that is read at offsets.
pub(crate) trait ReadAt {
    /// Fills `buf` from `offset`.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// Opens the files of a file system.
pub(crate) fn open(kind: Kind, window: &Window) -> Result<Box<dyn Files>> {
    Ok(match kind {
        Kind::Ext => Box::new(ext::Ext::open(window)?),
        Kind::Xfs => Box::new(xfs::Xfs::open(window)?),
        Kind::Fat => Box::new(fat::Fat::open(window)?),
        Kind::Ntfs => Box::new(ntfs::Ntfs::open(window)?),
    })
}
