//! The files of FAT, by the crate `fatfs`.

use std::io::{ErrorKind, Read};

use fatfs::{FileSystem, FsOptions};
use imprint_plugin_sdk::error::Result;

use super::Files;
use crate::window::{Cursor, Window, of_stream};

/// The files of FAT.
pub(super) struct Fat(FileSystem<Cursor>);

impl Fat {
    pub(super) fn open(window: &Window) -> Result<Self> {
        FileSystem::new(window.cursor(), FsOptions::new()).map(Self).map_err(|error| of_stream(&error))
    }
}

/// Returns `None` for an error that says that there is no such file.
fn found<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // A file where a folder was expected, and the other way round.
        Err(error) if error.kind() == ErrorKind::NotFound || is_of_the_crate(&error) => Ok(None),
        Err(error) => Err(of_stream(&error)),
    }
}

/// Returns whether an error is the crate's own answer to a name, and not that of the disk.
fn is_of_the_crate(error: &std::io::Error) -> bool {
    let cause = error.get_ref().map(ToString::to_string).unwrap_or_default();
    error.kind() == ErrorKind::Other && matches!(cause.as_str(), "Is a directory" | "Not a directory")
}

impl Files for Fat {
    fn exists(&mut self, path: &str) -> Result<bool> {
        let path = path.trim_matches('/');
        let root = self.0.root_dir();
        if path.is_empty() || found(root.open_file(path).map(drop))?.is_some() {
            return Ok(true);
        }
        Ok(found(root.open_dir(path).map(drop))?.is_some())
    }

    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let root = self.0.root_dir();
        let Some(file) = found(root.open_file(path.trim_matches('/')))? else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = u64::try_from(max).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes).map_err(|error| of_stream(&error))?;
        Ok(Some(bytes))
    }

    fn names(&mut self, path: &str, max: usize) -> Result<Vec<String>> {
        let root = self.0.root_dir();
        let path = path.trim_matches('/');
        let folder = if path.is_empty() { Some(root) } else { found(root.open_dir(path))? };
        let Some(folder) = folder else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in folder.iter().take(max) {
            names.push(entry.map_err(|error| of_stream(&error))?.file_name());
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }
}
