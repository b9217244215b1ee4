//! The files and folders of a storage, and what files are as objects.

use imprint_plugin_sdk::{
    error::{ErrorClass, Result},
    host::{DirEntry, DirListing, Dirs, Replace, Space, Task},
    storage::Object,
    types::Props,
};

/// A folder with the files of a storage. Paths are relative to it.
pub trait Tree {
    /// Returns the first part of the storage's own error codes, such as `local`.
    fn code(&self) -> &'static str;
    /// Returns the milliseconds on a clock that never goes back.
    fn monotonic_ms(&self) -> u64;
    /// Returns what a name is.
    ///
    /// # Errors
    ///
    /// `not-found` where nothing has that name.
    fn stat(&self, path: &str) -> Result<DirEntry>;
    /// Returns names of a folder in ascending byte order, after `resume`, at most `max`.
    ///
    /// # Errors
    ///
    /// `not-found` where there is no such folder.
    fn list(&self, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing>;
    /// Creates a folder below one that exists. Idempotent.
    ///
    /// # Errors
    ///
    /// Fails with the error that the file system reports.
    fn create_directory(&self, path: &str) -> Result<()>;
    /// Removes a file. Idempotent.
    ///
    /// # Errors
    ///
    /// Fails with the error that the file system reports.
    fn remove_file(&self, path: &str) -> Result<()>;
    /// Makes a finished file visible under its final name, durably.
    ///
    /// # Errors
    ///
    /// `already-exists` with [`Replace::Refused`] where the name is taken.
    fn publish(&self, temporary: &str, name: &str, replace: Replace) -> Result<()>;
    /// Returns the room of the file system.
    ///
    /// # Errors
    ///
    /// Fails with the error that the file system reports.
    fn space(&self) -> Result<Space>;
}

/// A directory that the host granted.
pub struct GrantedTree<'a, H: ?Sized> {
    /// The host.
    pub host: &'a H,
    /// The grant's name in the manifest.
    pub grant: &'static str,
    /// See [`Tree::code`].
    pub code: &'static str,
}

impl<H: Dirs + Task + ?Sized> Tree for GrantedTree<'_, H> {
    fn code(&self) -> &'static str {
        self.code
    }

    fn monotonic_ms(&self) -> u64 {
        self.host.monotonic_ms()
    }

    fn stat(&self, path: &str) -> Result<DirEntry> {
        self.host.stat(self.grant, path)
    }

    fn list(&self, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing> {
        self.host.list(self.grant, path, resume, max)
    }

    fn create_directory(&self, path: &str) -> Result<()> {
        self.host.create_directory(self.grant, path)
    }

    fn remove_file(&self, path: &str) -> Result<()> {
        self.host.remove_file(self.grant, path)
    }

    fn publish(&self, temporary: &str, name: &str, replace: Replace) -> Result<()> {
        self.host.publish(self.grant, temporary, name, replace)
    }

    fn space(&self) -> Result<Space> {
        self.host.space(self.grant)
    }
}

/// Returns the object under a path; folders are none.
///
/// # Errors
///
/// Fails with the error that the file system reports.
pub fn find(tree: &dyn Tree, path: &str) -> Result<Option<Object>> {
    match tree.stat(path) {
        Ok(entry) if entry.is_directory => Ok(None),
        Ok(entry) => Ok(Some(object(path.to_owned(), &entry))),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the object that a file is.
pub(crate) fn object(key: String, entry: &DirEntry) -> Object {
    Object {
        key,
        size: entry.size,
        stored: Some(entry.allocated),
        modified_ms: Some(entry.modified_ms),
        etag: None,
        extra: Props::new(),
    }
}
