//! Image storages: where the bytes of an image are, and how an upload becomes visible.

use crate::{
    error::{Error, Result},
    host::{Space, StorageHost, StreamHost},
    types::{Digest, FileRef, Props, ReadLocator},
};

/// What a storage can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in wit/storage")]
pub struct Features {
    pub random_read: bool,
    pub random_write: bool,
    pub append: bool,
    pub server_side_copy: bool,
    pub atomic_replace: bool,
    pub max_object: Option<u64>,
    pub extra: Props,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `/`-separated, relative, at most 512 bytes.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that the storage occupies, where it knows.
    pub stored: Option<u64>,
    /// Milliseconds since 1970.
    pub modified_ms: Option<u64>,
    /// Version of the object, where the storage knows one.
    pub etag: Option<String>,
    /// Anything else.
    pub extra: Props,
}

/// A page of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In ascending byte order of the keys; temporary ones left out.
    pub objects: Vec<Object>,
    /// Common prefixes, where the storage groups.
    pub prefixes: Vec<String>,
    /// Pass back to go on; `None` is the end.
    pub resume: Option<String>,
}

/// What is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// The final key.
    pub key: String,
    /// Exact size, where it is known.
    pub size: Option<u64>,
    /// At most this many bytes.
    pub upper_bound: Option<u64>,
    /// The writer goes back to patch headers.
    pub needs_random: bool,
    /// An object that is already there is `already-exists`.
    pub if_absent: bool,
    /// Anything else.
    pub extra: Props,
}

/// Where the bytes of an upload go. Parts of a multipart upload come with the storages that need
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteTarget {
    /// A new local file under a temporary name.
    File(FileRef),
    /// The plugin takes the bytes itself ([`StreamUpload`]).
    GuestStream,
}

/// An image storage, opened with the operator's settings.
pub trait Storage: Sized + 'static {
    /// An upload in progress.
    type Upload: Upload;

    /// Opens the storage.
    fn open(host: &dyn StorageHost, settings: &Props) -> Result<Self>;
    /// What it can do.
    fn features(&self, host: &dyn StorageHost) -> Result<Features>;
    /// Room left; `None` where the storage has no such notion.
    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>>;
    /// One object.
    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object>;
    /// Objects whose key starts with `prefix`, after `resume`, at most `max`.
    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing>;
    /// Where to read an object.
    fn open_read(&self, host: &dyn StorageHost, key: &str) -> Result<ReadLocator>;
    /// Idempotent; answers only the keys that could not be deleted.
    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>>;
    /// Begins an upload.
    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<Self::Upload>;
    /// Goes on with an upload after a crash.
    fn resume_upload(&self, host: &dyn StorageHost, token: &[u8]) -> Result<Self::Upload>;
    /// Undoes whatever `token` describes, after a crash. Idempotent.
    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()>;
}

/// An upload in progress. Nothing is visible under its key before [`Upload::commit`].
pub trait Upload: 'static {
    /// Opaque, at most 4 KiB; the host stores it before the first byte moves.
    fn token(&self) -> Vec<u8>;
    /// Where the bytes go.
    fn target(&self) -> WriteTarget;
    /// The bytes are complete and durable: makes the object visible in one step.
    fn commit(&mut self, host: &dyn StorageHost, total: u64, digests: &[Digest]) -> Result<Object>;
    /// Gives up; nothing stays behind. Idempotent.
    fn abort(&mut self, host: &dyn StorageHost) -> Result<()>;
}

/// A storage whose bytes only the plugin can move. Exported with
/// [`export_streaming_storage!`](crate::export_streaming_storage); its locators and targets are
/// `GuestStream`.
///
/// It is the slow path, for bytes that have no other: a storage of plain files answers where they
/// are. Readers and writers live in instances of their own, perhaps two at once: they share nothing
/// but the storage.
pub trait StreamStorage: Storage {
    /// Gives the bytes of an object.
    type Reader: StreamReader;
    /// Takes the bytes of an upload.
    type Writer: StreamWriter;

    /// Opens one version of an object.
    fn reader(&self, host: &dyn StreamHost, key: &str) -> Result<Self::Reader>;
    /// Goes on with the upload of a token whose target is [`WriteTarget::GuestStream`].
    fn writer(&self, host: &dyn StreamHost, token: &[u8]) -> Result<Self::Writer>;
}

/// Gives the bytes of an object.
pub trait StreamReader: 'static {
    /// Bytes of the object.
    fn size(&self) -> u64;
    /// Exactly `length` bytes (1 to 1 MiB), all of them inside the object, in any order of offsets.
    /// When the object was replaced since it was opened, that is a `conflict`.
    fn read(&mut self, host: &dyn StreamHost, offset: u64, length: u32) -> Result<Vec<u8>>;
}

/// In which order a writer takes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At any offset, each byte at most once; two writers of one upload may take disjoint ranges at
    /// the same time. What was never written reads as zeroes.
    Any,
    /// Every byte in turn, from the first to the last, by one writer. A write that failed is not
    /// tried again.
    Ascending,
}

/// Takes the bytes of an upload.
pub trait StreamWriter: 'static {
    /// The default asks least of the storage.
    fn order(&self) -> Order {
        Order::Ascending
    }
    /// Takes all of 1 to 1 MiB bytes.
    fn write(&mut self, host: &dyn StreamHost, offset: u64, bytes: &[u8]) -> Result<()>;
    /// All bytes were written, perhaps by another writer as well: the upload is exactly `size`
    /// bytes long, and durable when this returns. Not yet visible: that is [`Upload::commit`]'s
    /// business. May be asked again.
    ///
    /// The default is for storages where a [`write`](Self::write) is durable when it returns, and
    /// that need no length.
    fn finish(&mut self, _host: &dyn StreamHost, _size: u64) -> Result<()> {
        Ok(())
    }
}
