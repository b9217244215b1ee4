//! The export as a tree of files.

use std::cell::RefCell;

use imprint_path_storage::Tree;
use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{DirEntry, DirListing, Replace, Space, TcpStorageHost},
};

use crate::{client::Client, directory::entry};

/// The first part of the storage's error codes.
pub(crate) const CODE: &str = "nfs";

/// The storage's folder on the server.
pub(crate) struct RemoteTree<'a> {
    pub(crate) client: &'a RefCell<Client>,
    pub(crate) host: &'a dyn TcpStorageHost,
}

impl Tree for RemoteTree<'_> {
    fn code(&self) -> &'static str {
        CODE
    }

    fn monotonic_ms(&self) -> u64 {
        self.host.monotonic_ms()
    }

    fn stat(&self, path: &str) -> Result<DirEntry> {
        let found = self.client.borrow_mut().resolve(self.host, path)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let found = found.and_then(|node| entry(name, &node.attributes));
        found.ok_or_else(|| Error::not_found("nfs.absent", format!("{path} does not exist")))
    }

    fn list(&self, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing> {
        self.client.borrow_mut().list(self.host, path, resume, max)
    }

    fn create_directory(&self, path: &str) -> Result<()> {
        let mut client = self.client.borrow_mut();
        client.require_base(self.host)?;
        let (folder, name) = client.parent(self.host, path)?;
        let folder =
            folder.ok_or_else(|| Error::not_found("nfs.absent", format!("{path} does not exist")))?;
        let node = client.make_folder(self.host, &folder, name)?;
        if node.is_folder() {
            return Ok(());
        }
        Err(Error::already_exists("nfs.taken", format!("{path} is no folder")))
    }

    fn remove_file(&self, path: &str) -> Result<()> {
        self.client.borrow_mut().remove(self.host, path)
    }

    fn publish(&self, temporary: &str, name: &str, replace: Replace) -> Result<()> {
        self.client.borrow_mut().publish(self.host, temporary, name, replace)
    }

    fn space(&self) -> Result<Space> {
        self.client.borrow_mut().space(self.host)
    }
}
