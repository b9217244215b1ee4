//! The port to image storages (`imprint:storage` in WIT).

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{BlockSink, BlockSource, ByteRange, PortError, SecretText};

/// The start of the names in the top of a storage's folder that belong to the host: its markers.
/// Plugins neither see nor reach them.
pub const RESERVED_NAMES: &str = ".imprint-storage.";

/// The marker of a storage that only its plugin reaches: the file by which it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageMarker {
    /// The name of the file.
    pub name: String,
    /// Whether a storage without the file is another one. Otherwise the plugin writes it.
    pub is_required: bool,
}

/// A file below a granted directory, already resolved to the directory's handle: `path` is relative
/// and is opened beneath `dir` only.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// The granted directory.
    pub dir: Arc<Dir>,
    /// The validated relative path.
    pub path: String,
}

/// An object that is read through its storage: by requests over HTTP, or by the plugin itself,
/// which is the slow path (`path=guest` in logs).
///
/// Failures of its source are [`PortError`]s inside of [`std::io::Error`]s; the data path's errors
/// expose them.
#[async_trait]
pub trait RemoteObject: fmt::Debug + Send + Sync {
    /// Opens the object. Reads that wait for a plugin end within 100 ms of `cancel`, those that
    /// wait for a server within its time limits.
    ///
    /// # Errors
    ///
    /// Whatever the plugin or its sandbox reports.
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError>;

    /// Returns an address at which a client reads the whole object from the service itself, signed
    /// and valid for a limited time: everybody who has it can use it. `None` where clients cannot
    /// reach the service, or it has no such addresses. Nothing is sent.
    ///
    /// # Errors
    ///
    /// The address cannot be signed, or is not one that the operator permits.
    fn client_url(&self, _terms: &ClientUrlTerms) -> Result<Option<SecretText>, PortError> {
        Ok(None)
    }
}

/// What an address for a client is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUrlTerms {
    /// Whether it is for `HEAD` requests; otherwise it is for `GET` requests.
    pub head_only: bool,
    /// For how long requests are accepted; one that was accepted continues.
    pub valid_for: Duration,
    /// The name that the client gives the file: ASCII letters, digits, `.`, `_`, `-` and `+`.
    pub file_name: String,
}

/// An upload that is written through its storage: in parts over HTTP, or by the plugin itself,
/// which is the slow path (`path=guest` in logs).
///
/// Failures of its sink are [`PortError`]s inside of [`std::io::Error`]s; the data path's errors
/// expose them.
#[async_trait]
pub trait RemoteUpload: fmt::Debug + Send + Sync {
    /// Opens the upload for writing, once. Writes that wait for a plugin end within 100 ms of
    /// `cancel`, those that wait for a server within its time limits. The sink must be synced
    /// before the upload is committed.
    ///
    /// With `parts`, an upload that is sent in parts goes on where an earlier process stopped: the
    /// parts that are known there are offered by [`BlockSink::kept`], and one with the same bytes
    /// is not sent again. An upload without parts ignores them.
    ///
    /// # Errors
    ///
    /// Whatever the plugin or its sandbox reports.
    async fn open(
        &self,
        cancel: CancellationToken,
        parts: Option<Arc<dyn PartLog>>,
    ) -> Result<Arc<dyn BlockSink>, PortError>;
}

/// A part of an upload that its storage has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPart {
    /// The place of the part in the object.
    pub range: ByteRange,
    /// The BLAKE3 digest of its bytes; `None` where only the range is known.
    pub digest: Option<[u8; 32]>,
    /// The answer of the storage, as the host that sent the part wrote it down: it is handed back
    /// when the upload is committed, and means nothing to others.
    pub answer: String,
}

/// The parts of one upload that its storage has. It outlives the process.
pub trait PartLog: Send + Sync {
    /// Returns the parts that an earlier process sent, in ascending order and without overlaps.
    fn known(&self) -> Vec<SentPart>;

    /// Remembers a part. Where that fails, a later process sends the part again, and nothing else
    /// happens. Blocks.
    fn sent(&self, part: SentPart);
}

/// How to read the bytes of an object.
#[derive(Clone, Debug)]
pub enum ReadLocator {
    /// From a local file.
    File(LocalFile),
    /// Through the storage.
    Remote(Arc<dyn RemoteObject>),
}

/// How to write the bytes of an upload.
#[derive(Clone, Debug)]
pub enum WriteTarget {
    /// To a new local file under a temporary name.
    File(LocalFile),
    /// Through the storage.
    Remote(Arc<dyn RemoteUpload>),
}

/// A stored object.
#[derive(Clone, Debug)]
pub struct Object {
    /// The `/`-separated relative key.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The number of bytes that the storage occupies for it, where it knows.
    pub stored: Option<u64>,
    /// The time of the last change, in milliseconds since 1970.
    pub modified_ms: Option<u64>,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The objects in ascending byte order of their keys.
    pub objects: Vec<Object>,
    /// What to pass for the next page; `None` after the last one.
    pub resume: Option<String>,
}

/// The space on a storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// The part that uploads may take.
    pub available: u64,
}

/// What a plugin says about one of its settings before the storage is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFinding {
    /// Whether the storage cannot be used; otherwise it is a warning.
    pub is_error: bool,
    /// The name of the setting; empty when it is about none in particular.
    pub setting: String,
    /// The human-readable description: what is wrong and what to do about it.
    pub message: String,
}

/// A request to write an object.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The final key.
    pub key: String,
    /// The largest number of bytes that will be written, where it is known.
    pub upper_bound: Option<u64>,
    /// Whether the writer goes back to patch headers.
    pub needs_random: bool,
    /// Whether an object that exists already is an error.
    pub if_absent: bool,
}

/// An image storage.
///
/// # Errors
///
/// Every call fails with a [`PortError`]: an error of the plugin itself, a trap, a timeout, or an
/// answer that breaks the contract.
#[async_trait]
pub trait StorageBackend: Send + Sync {
    /// Returns the space; `None` where the storage has no such notion.
    async fn space(&self) -> Result<Option<Space>, PortError>;

    /// Returns one object.
    async fn stat(&self, key: &str) -> Result<Object, PortError>;

    /// Returns a page of at most `max` objects whose keys start with `prefix`.
    async fn list(&self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing, PortError>;

    /// Returns how to read an object.
    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError>;

    /// Deletes an object. Idempotent.
    async fn delete(&self, key: &str) -> Result<(), PortError>;

    /// Starts an upload.
    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError>;

    /// Continues the upload of the object `key` from the token of an earlier process.
    async fn resume_upload(&self, key: &str, token: &[u8]) -> Result<Box<dyn Upload>, PortError>;

    /// Undoes whatever an upload's token describes. Idempotent.
    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError>;
}

/// An upload in progress. Nothing is visible under its key before [`Upload::commit`].
///
/// # Errors
///
/// As for [`StorageBackend`].
#[async_trait]
pub trait Upload: Send {
    /// Returns the upload's opaque token of at most 4 KiB; store it before the first byte moves.
    fn token(&self) -> &[u8];

    /// Returns how to write the bytes.
    fn target(&self) -> &WriteTarget;

    /// Makes the object visible in one step; its bytes are complete and durable. `total` is their
    /// number, `digests` are pairs of algorithm and value.
    async fn commit(&mut self, total: u64, digests: &[(String, Vec<u8>)]) -> Result<Object, PortError>;

    /// Gives the upload up; nothing stays behind.
    async fn abort(&mut self) -> Result<(), PortError>;
}
