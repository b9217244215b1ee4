//! Uploads: a temporary file, and a rename.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::Replace,
    storage::{Object, WriteRequest, no_token, object_exists, read_token},
};
use serde::{Deserialize, Serialize};

use crate::{
    tree::{Tree, find},
    volume::check,
};

/// The folder of uploads in progress. Hidden, so no key reaches it.
pub const TEMPORARY: &str = ".tmp";
/// Names to try for a temporary file.
const ATTEMPTS: u32 = 100;
/// Version of the token.
const VERSION: u32 = 1;

/// An upload in progress. Its token is this, as JSON: version 1, which later versions keep
/// reading.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PathUpload {
    version: u32,
    /// Below the tree.
    temporary: String,
    key: String,
    if_absent: bool,
    /// What the storage adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl PathUpload {
    /// Begins an upload: checks the key and the room, and finds a name for the temporary file,
    /// which is not there yet.
    ///
    /// # Errors
    ///
    /// `invalid-input` for a key that cannot be stored, `already-exists`, `limit-exceeded` for what
    /// does not fit.
    pub fn begin(tree: &dyn Tree, request: &WriteRequest) -> Result<Self> {
        check(tree, &request.key)?;
        if request.if_absent && find(tree, &request.key)?.is_some() {
            return Err(object_exists(tree.code(), &request.key));
        }
        if let Some(size) = request.size
            && size > tree.space()?.available
        {
            let message =
                format!("{size} bytes do not fit into this storage; delete images or choose another storage");
            return Err(Error::limit(&format!("{}.full", tree.code()), message));
        }
        tree.create_directory(TEMPORARY)?;
        let temporary = free_name(tree, request)?;
        let (key, if_absent) = (request.key.clone(), request.if_absent);
        Ok(Self { version: VERSION, temporary, key, if_absent, note: None })
    }

    /// Reads a token, which may be anything. `code` is the first part of the storage's own error
    /// codes.
    ///
    /// # Errors
    ///
    /// `invalid-input` for what is no token of such an upload.
    pub fn parse(code: &str, token: &[u8]) -> Result<Self> {
        let upload = read_token(code, VERSION, token, |bytes| {
            let upload: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            Ok((upload.version, upload))
        })?;
        crate::key::check_key(&upload.key, &format!("{code}.key"))?;
        let name = upload
            .temporary
            .strip_prefix(TEMPORARY)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(no_token(code, "its file is not among the temporary ones"));
        }
        Ok(upload)
    }

    /// Returns the token.
    ///
    /// # Panics
    ///
    /// Never: texts and numbers are JSON.
    pub fn token(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// Returns the path of the temporary file.
    pub fn temporary(&self) -> &str {
        &self.temporary
    }

    /// Returns the key of the future object.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what the storage added.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Adds what the storage needs to know of the upload later; its token has it.
    #[must_use]
    pub fn with_note(mut self, note: String) -> Self {
        self.note = Some(note);
        self
    }

    /// Removes the temporary file. A published object stays.
    ///
    /// # Errors
    ///
    /// What the file system answers.
    pub fn discard(&self, tree: &dyn Tree) -> Result<()> {
        tree.remove_file(&self.temporary)
    }

    /// Makes the object visible: the temporary file has exactly `total` bytes.
    ///
    /// # Errors
    ///
    /// `already-exists`; `corrupt` where bytes are missing; `conflict` where all of them are gone.
    pub fn commit(&self, tree: &dyn Tree, total: u64) -> Result<Object> {
        let Some(written) = find(tree, &self.temporary)? else { return self.committed(tree, total) };
        if written.size != total {
            let message =
                format!("{} of {total} bytes of {:?} are there; upload it again", written.size, self.key);
            return Err(Error::corrupt(&format!("{}.incomplete", tree.code()), message));
        }
        for (end, _) in self.key.match_indices('/') {
            tree.create_directory(&self.key[..end])?;
        }
        let replace = if self.if_absent { Replace::Refused } else { Replace::Allowed };
        match tree.publish(&self.temporary, &self.key, replace) {
            Ok(()) => self.committed(tree, total),
            Err(error) if error.class == ErrorClass::AlreadyExists => {
                Err(object_exists(tree.code(), &self.key))
            }
            // A rename that answered an error may have happened: its answer was lost.
            Err(error) => match find(tree, &self.temporary) {
                Ok(None) => self.committed(tree, total).map_err(|_| error),
                Ok(Some(_)) | Err(_) => Err(error),
            },
        }
    }

    /// The published object. A commit that a crash cut off after the rename finds it here, too.
    fn committed(&self, tree: &dyn Tree, total: u64) -> Result<Object> {
        match find(tree, &self.key)? {
            Some(object) if object.size == total => Ok(object),
            Some(_) | None => {
                let message = format!("the bytes of {:?} are gone; upload it again", self.key);
                Err(Error::conflict(&format!("{}.upload-lost", tree.code()), message))
            }
        }
    }
}

/// A name that no other upload has. Plugins have no randomness; the clock, the key and whatever the
/// host adds to the request distinguish uploads, and what is left is counted.
fn free_name(tree: &dyn Tree, request: &WriteRequest) -> Result<String> {
    let mut hash = Fnv::default();
    hash.add(&request.key);
    for (key, value) in &request.extra {
        hash.add(key);
        hash.add(value);
    }
    let clock = tree.monotonic_ms();
    for attempt in 0..ATTEMPTS {
        let name = format!("{TEMPORARY}/{:016x}-{clock:x}-{attempt:x}", hash.0);
        if find(tree, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::transient_after(
        &format!("{}.busy", tree.code()),
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
