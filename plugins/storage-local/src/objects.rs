//! What files of the pool are as objects.

use imprint_plugin_sdk::{
    error::{ErrorClass, Result},
    host::{DirEntry, StorageHost},
    storage::Object,
    types::Props,
};

use crate::key::POOL;

/// Returns the object under a key; directories are none.
pub(crate) fn find(host: &dyn StorageHost, key: &str) -> Result<Option<Object>> {
    match host.stat(POOL, key) {
        Ok(entry) if entry.is_directory => Ok(None),
        Ok(entry) => Ok(Some(object(key.to_owned(), &entry))),
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
