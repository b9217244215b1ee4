//! Uploads: the host writes the temporary file.

use imprint_path_storage::PathUpload;
use imprint_plugin_sdk::{
    error::Result,
    host::StorageHost,
    storage::{Object, Upload, WriteTarget},
    types::{Digest, FileRef},
};

use crate::folder::{POOL, tree};

/// An upload in progress.
#[derive(Debug, PartialEq, Eq)]
pub struct LocalUpload(pub(crate) PathUpload);

impl Upload for LocalUpload {
    fn token(&self) -> Vec<u8> {
        self.0.token()
    }

    fn target(&self) -> WriteTarget {
        WriteTarget::File(FileRef { grant: POOL.to_owned(), path: self.0.temporary().to_owned() })
    }

    fn commit(&mut self, host: &dyn StorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        self.0.commit(&tree(host), total)
    }

    fn abort(&mut self, host: &dyn StorageHost) -> Result<()> {
        self.0.discard(&tree(host))
    }
}
