//! The port to image storages (`imprint:storage` in WIT).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;

use crate::{BlockSink, BlockSource, PortError, Props};

/// A file below a granted directory, already resolved to the directory's handle: `path` is relative
/// and is opened beneath `dir` only.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// The granted directory.
    pub dir: Arc<Dir>,
    /// Validated relative path.
    pub path: String,
}

/// An object whose bytes only its storage's plugin can give: the slow path (`path=guest` in logs).
///
/// Failures of its source are [`PortError`]s inside of [`std::io::Error`]s; the engine's errors
/// bring them out again.
#[async_trait]
pub trait GuestObject: fmt::Debug + Send + Sync {
    /// Opens it. Reads that wait for the plugin end within 100 ms of `cancel`.
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError>;
}

/// An upload whose bytes only its storage's plugin can take: the slow path (`path=guest` in logs).
///
/// Failures of its sink are [`PortError`]s inside of [`std::io::Error`]s; the engine's errors bring
/// them out again.
#[async_trait]
pub trait GuestUpload: fmt::Debug + Send + Sync {
    /// Opens it for writing, once. Writes that wait for the plugin end within 100 ms of `cancel`.
    /// The sink must be synced before the upload is committed.
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSink>, PortError>;
}

/// Where an object's bytes are. HTTP and NBD come with their storages.
#[derive(Clone, Debug)]
pub enum ReadLocator {
    /// A local file.
    File(LocalFile),
    /// Behind the plugin.
    Guest(Arc<dyn GuestObject>),
}

/// Where an upload's bytes go.
#[derive(Clone, Debug)]
pub enum WriteTarget {
    /// A new local file under a temporary name.
    File(LocalFile),
    /// To the plugin.
    Guest(Arc<dyn GuestUpload>),
}

/// A stored object.
#[derive(Clone, Debug)]
pub struct Object {
    /// `/`-separated relative key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that the storage occupies, where it knows.
    pub stored: Option<u64>,
    /// Milliseconds since 1970.
    pub modified_ms: Option<u64>,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// In ascending byte order of the keys.
    pub objects: Vec<Object>,
    /// Pass back to go on; `None` is the end.
    pub resume: Option<String>,
}

/// Room on a storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// Free for us.
    pub available: u64,
}

/// What is about to be written.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The final key.
    pub key: String,
    /// At most this many bytes.
    pub upper_bound: Option<u64>,
    /// The writer goes back to patch headers.
    pub needs_random: bool,
    /// An object that is already there is an error.
    pub if_absent: bool,
}

/// An image storage.
#[async_trait]
pub trait StorageBackend: Send + Sync {
    /// Room left; `None` where the storage has no such notion.
    async fn space(&self) -> Result<Option<Space>, PortError>;
    /// One object.
    async fn stat(&self, key: &str) -> Result<Object, PortError>;
    /// A page of objects whose key starts with `prefix`.
    async fn list(&self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing, PortError>;
    /// Where to read an object.
    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError>;
    /// Idempotent.
    async fn delete(&self, key: &str) -> Result<(), PortError>;
    /// Begins an upload.
    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError>;
    /// Undoes whatever an upload's token describes. Idempotent.
    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError>;
}

/// An upload in progress. Nothing is visible under its key before [`Upload::commit`].
#[async_trait]
pub trait Upload: Send {
    /// Opaque, at most 4 KiB; store it before the first byte moves.
    fn token(&self) -> &[u8];
    /// Where the bytes go.
    fn target(&self) -> &WriteTarget;
    /// The bytes are complete and durable: makes the object visible in one step. `digests` are
    /// `(algorithm, value)`.
    async fn commit(&mut self, total: u64, digests: &[(String, Vec<u8>)]) -> Result<Object, PortError>;
    /// Gives up; nothing stays behind.
    async fn abort(&mut self) -> Result<(), PortError>;
}

/// Settings of a storage, handed to its plugin as they are.
pub type Settings = Props;
