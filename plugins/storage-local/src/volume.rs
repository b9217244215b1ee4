//! The storage's functions.

use imprint_path_storage::{self as path_storage, PathUpload};
use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{Space, StorageHost},
    storage::{Features, Listing, Object, Storage, WriteRequest},
    types::{FileRef, Props, ReadLocator},
};

use crate::{
    folder::{CODE, POOL, tree},
    upload::LocalUpload,
};

/// The granted directory.
pub struct LocalVolume;

impl Storage for LocalVolume {
    type Host = dyn StorageHost;
    type Upload = LocalUpload;

    fn open(host: &dyn StorageHost, _settings: &Props) -> Result<Self> {
        // Also the proof that the pool is granted. It need not be writable: images are deployed
        // from a file system that is mounted read-only as well.
        host.space(POOL).map(|_| Self)
    }

    fn features(&self, _host: &dyn StorageHost) -> Result<Features> {
        Ok(path_storage::features())
    }

    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>> {
        host.space(POOL).map(Some)
    }

    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object> {
        path_storage::stat(&tree(host), key)
    }

    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        path_storage::list(&tree(host), prefix, resume, max)
    }

    fn open_read(&self, host: &Self::Host, key: &str) -> Result<ReadLocator> {
        self.stat(host, key)?;
        Ok(ReadLocator::File(FileRef { grant: POOL.to_owned(), path: key.to_owned() }))
    }

    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        Ok(path_storage::delete(&tree(host), keys))
    }

    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<LocalUpload> {
        PathUpload::begin(&tree(host), request).map(LocalUpload)
    }

    fn resume_upload(&self, _host: &dyn StorageHost, token: &[u8]) -> Result<LocalUpload> {
        PathUpload::parse(CODE, token).map(LocalUpload)
    }

    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()> {
        PathUpload::parse(CODE, token)?.discard(&tree(host))
    }
}
