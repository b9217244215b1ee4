//! Uploads: a temporary file, and a rename.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Replace, StorageHost},
    storage::{Object, Upload, WriteRequest, WriteTarget},
    types::{Digest, FileRef},
};
use serde::{Deserialize, Serialize};

use crate::{
    key::{POOL, TEMPORARY, check_key},
    objects::find,
};

/// Names to try for a temporary file.
const ATTEMPTS: u32 = 100;
/// Version of the token.
const VERSION: u32 = 1;
const MAX_TOKEN: usize = 4_096;

/// An upload in progress. Its token is this, as JSON: version 1, which later versions keep
/// reading.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalUpload {
    version: u32,
    /// Below the pool.
    temporary: String,
    key: String,
    if_absent: bool,
}

impl LocalUpload {
    pub(crate) fn begin(host: &dyn StorageHost, request: &WriteRequest) -> Result<Self> {
        check_key(&request.key)?;
        if request.if_absent && find(host, &request.key)?.is_some() {
            return Err(taken(&request.key));
        }
        if let Some(size) = request.size
            && size > host.space(POOL)?.available
        {
            let message =
                format!("{size} bytes do not fit into this storage; delete images or choose another storage");
            return Err(Error::limit("local.full", message));
        }
        host.create_directory(POOL, TEMPORARY)?;
        let temporary = free_name(host, request)?;
        Ok(Self { version: VERSION, temporary, key: request.key.clone(), if_absent: request.if_absent })
    }

    /// Reads a token, which may be anything.
    pub(crate) fn parse(token: &[u8]) -> Result<Self> {
        let invalid = |problem: String| {
            Error::invalid_input(
                "local.token",
                format!("this is no upload of this storage ({problem}); begin a new one"),
            )
        };
        if token.len() > MAX_TOKEN {
            return Err(invalid("it is too long".to_owned()));
        }
        let upload: Self = serde_json::from_slice(token).map_err(|error| invalid(error.to_string()))?;
        if upload.version != VERSION {
            return Err(invalid(format!("version {}", upload.version)));
        }
        check_key(&upload.key)?;
        let name = upload
            .temporary
            .strip_prefix(TEMPORARY)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(invalid("its file is not among the temporary ones".to_owned()));
        }
        Ok(upload)
    }

    /// Removes the temporary file. A published object stays.
    pub(crate) fn discard(&self, host: &dyn StorageHost) -> Result<()> {
        host.remove_file(POOL, &self.temporary)
    }
}

impl Upload for LocalUpload {
    fn token(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    fn target(&self) -> WriteTarget {
        WriteTarget::File(FileRef { grant: POOL.to_owned(), path: self.temporary.clone() })
    }

    fn commit(&mut self, host: &dyn StorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        let Some(written) = find(host, &self.temporary)? else { return self.committed(host, total) };
        if written.size != total {
            let message =
                format!("{} of {total} bytes of {:?} are there; upload it again", written.size, self.key);
            return Err(Error::corrupt("local.incomplete", message));
        }
        for (end, _) in self.key.match_indices('/') {
            host.create_directory(POOL, &self.key[..end])?;
        }
        let replace = if self.if_absent { Replace::Refused } else { Replace::Allowed };
        host.publish(POOL, &self.temporary, &self.key, replace).map_err(|error| {
            if error.class == ErrorClass::AlreadyExists { taken(&self.key) } else { error }
        })?;
        self.committed(host, total)
    }

    fn abort(&mut self, host: &dyn StorageHost) -> Result<()> {
        self.discard(host)
    }
}

impl LocalUpload {
    /// The published object. A commit that a crash cut off after the rename finds it here, too.
    fn committed(&self, host: &dyn StorageHost, total: u64) -> Result<Object> {
        match find(host, &self.key)? {
            Some(object) if object.size == total => Ok(object),
            Some(_) | None => {
                let message = format!("the bytes of {:?} are gone; upload it again", self.key);
                Err(Error::conflict("local.upload-lost", message))
            }
        }
    }
}

fn taken(key: &str) -> Error {
    Error::already_exists("local.exists", format!("there is an object {key:?} already; choose another key"))
}

/// A name that no other upload has. Plugins have no randomness; the clock, the key and whatever the
/// host adds to the request distinguish uploads, and what is left is counted.
fn free_name(host: &dyn StorageHost, request: &WriteRequest) -> Result<String> {
    let mut hash = Fnv::default();
    hash.add(&request.key);
    for (key, value) in &request.extra {
        hash.add(key);
        hash.add(value);
    }
    let clock = host.monotonic_ms();
    for attempt in 0..ATTEMPTS {
        let name = format!("{TEMPORARY}/{:016x}-{clock:x}-{attempt:x}", hash.0);
        if find(host, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::transient_after(
        "local.busy",
        "too many uploads of this key were started at once; try again",
        1_000,
    ))
}

/// FNV-1a, for names: nothing depends on its strength.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
