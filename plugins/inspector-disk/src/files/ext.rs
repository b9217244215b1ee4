//! The files of ext2, ext3 and ext4, by the crate `ext4-view`. It replays the journal in memory, so
//! that a disk that was captured while it ran reads as the system would see it.

use ext4_view::{Ext4, Ext4Error, Ext4Read};
use imprint_plugin_sdk::error::{Error, Result};

use super::Files;
use crate::{
    bytes::{corrupt, unsupported},
    window::Window,
};

/// The files of ext.
pub(super) struct Ext(Ext4);

struct Reader(Window);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read(start_byte, dst)?)
    }
}

impl Ext {
    /// Opens a file system whose superblock was checked.
    pub(super) fn open(window: &Window) -> Result<Self> {
        let opened = Ext4::load(Box::new(Reader(window.clone())));
        opened.map(Self).map_err(|error| failure(&error))
    }
}

/// Returns the error of the disk where it is the cause.
fn failure(error: &Ext4Error) -> Error {
    if let Ext4Error::Io(cause) = error {
        return cause.downcast_ref::<Error>().cloned().unwrap_or_else(|| corrupt(cause.to_string()));
    }
    if matches!(error, Ext4Error::Incompatible(_) | Ext4Error::Encrypted) {
        unsupported(error.to_string())
    } else {
        corrupt(error.to_string())
    }
}

/// Returns `None` for an error that says that there is no such file.
fn found<T>(result: Result<T, Ext4Error>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            Ext4Error::NotFound
            | Ext4Error::NotADirectory
            | Ext4Error::IsADirectory
            | Ext4Error::IsASpecialFile
            | Ext4Error::TooManySymlinks,
        ) => Ok(None),
        Err(error) => Err(failure(&error)),
    }
}

impl Files for Ext {
    fn exists(&mut self, path: &str) -> Result<bool> {
        Ok(found(self.0.metadata(path))?.is_some())
    }

    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = found(self.0.open(path))? else { return Ok(None) };
        let mut bytes = vec![0; max];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_bytes(rest).map_err(|error| failure(&error))? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(Some(bytes))
    }
}
