//! The storage's functions.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Space, StorageHost},
    storage::{Features, Listing, Object, Storage, WriteRequest},
    types::{FileRef, Props, ReadLocator},
};

use crate::{
    key::{POOL, check_key},
    objects::find,
    upload::LocalUpload,
    walk::Walk,
};

/// Largest page of a listing.
const MAX_PAGE: usize = 1_000;

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
        Ok(Features {
            random_read: true,
            random_write: true,
            append: true,
            server_side_copy: false,
            atomic_replace: true,
            max_object: None,
            extra: Props::new(),
        })
    }

    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>> {
        host.space(POOL).map(Some)
    }

    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object> {
        check_key(key)?;
        find(host, key)?.ok_or_else(|| not_found(key))
    }

    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        let max = usize::try_from(max).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        if !folder.is_empty() {
            check_key(folder.trim_end_matches('/'))?;
        }
        let mut walk = Walk { host, prefix, after: resume, limit: max + 1, found: Vec::new() };
        match walk.directory(folder) {
            Err(error) if error.class == ErrorClass::NotFound && !folder.is_empty() => {}
            outcome => outcome?,
        }
        let mut objects = walk.found;
        let more = objects.len() > max;
        objects.truncate(max);
        let resume = if more { objects.last().map(|last| last.key.clone()) } else { None };
        Ok(Listing { objects, prefixes: Vec::new(), resume })
    }

    fn open_read(&self, host: &Self::Host, key: &str) -> Result<ReadLocator> {
        self.stat(host, key)?;
        Ok(ReadLocator::File(FileRef { grant: POOL.to_owned(), path: key.to_owned() }))
    }

    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        let delete = |key: &String| check_key(key).and_then(|()| host.remove_file(POOL, key));
        Ok(keys.iter().filter_map(|key| Some((key.clone(), delete(key).err()?))).collect())
    }

    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<LocalUpload> {
        LocalUpload::begin(host, request)
    }

    fn resume_upload(&self, _host: &dyn StorageHost, token: &[u8]) -> Result<LocalUpload> {
        LocalUpload::parse(token)
    }

    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()> {
        LocalUpload::parse(token)?.discard(host)
    }
}

fn not_found(key: &str) -> Error {
    Error::not_found("local.not-found", format!("there is no object {key:?} in this storage"))
}
