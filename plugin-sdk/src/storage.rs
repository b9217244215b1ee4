//! Image storages: where the bytes of an image are, and how an upload becomes visible.

use crate::{
    error::{Error, Result},
    host::{Space, StorageHost, StreamHost},
    types::{Digest, FileRef, Props, ReadLocator},
};

/// What a storage can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Objects can be read at any offset.
    pub random_read: bool,
    /// Uploads can be written at any offset.
    pub random_write: bool,
    /// Uploads can be written from the first byte to the last.
    pub append: bool,
    /// The storage can copy an object by itself.
    pub server_side_copy: bool,
    /// An object is replaced in one step.
    pub atomic_replace: bool,
    /// The size of the largest object in bytes; `None` when there is no bound.
    pub max_object: Option<u64>,
    /// Anything else.
    pub extra: Props,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `/`-separated, relative, at most 512 bytes.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// Bytes that the object occupies in the storage; `None` where the storage does not know.
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
    /// Where the next page continues; `None` at the end.
    pub resume: Option<String>,
}

/// The object that is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// The final key.
    pub key: String,
    /// Exact size, where it is known.
    pub size: Option<u64>,
    /// The most bytes that may be written, where the exact size is not known.
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
    /// The plugin takes the bytes itself ([`StreamStorage::writer`]).
    GuestStream,
}

/// An image storage, opened with the operator's settings.
pub trait Storage: Sized + 'static {
    /// An upload in progress.
    type Upload: Upload;

    /// Opens the storage.
    ///
    /// # Errors
    ///
    /// `invalid-input` for settings that make no sense.
    fn open(host: &dyn StorageHost, settings: &Props) -> Result<Self>;
    /// Returns what the storage can do.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn features(&self, host: &dyn StorageHost) -> Result<Features>;
    /// Returns the room that is left; `None` where the storage has no such notion.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>>;
    /// Returns one object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object>;
    /// Returns the objects whose key starts with `prefix`, after `resume`, at most `max`.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing>;
    /// Returns where to read an object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn open_read(&self, host: &dyn StorageHost, key: &str) -> Result<ReadLocator>;
    /// Deletes objects, and returns the keys that could not be deleted. Idempotent.
    ///
    /// # Errors
    ///
    /// When none could be tried.
    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>>;
    /// Begins an upload.
    ///
    /// # Errors
    ///
    /// `already-exists` when the object is there and the request forbids it.
    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<Self::Upload>;
    /// Continues an upload after a crash.
    ///
    /// # Errors
    ///
    /// `not-found` when nothing of it is left.
    fn resume_upload(&self, host: &dyn StorageHost, token: &[u8]) -> Result<Self::Upload>;
    /// Undoes whatever `token` describes, after a crash. Idempotent.
    ///
    /// # Errors
    ///
    /// What the storage answers; the host calls it again.
    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()>;
}

/// An upload in progress. Nothing is visible under its key before [`Upload::commit`].
pub trait Upload: 'static {
    /// Returns what identifies the upload after a crash: at most 4 KiB, opaque to the host, which
    /// stores it before the first byte moves.
    fn token(&self) -> Vec<u8>;
    /// Returns where the bytes go.
    fn target(&self) -> WriteTarget;
    /// Makes the object visible in one step, once its bytes are complete and durable.
    ///
    /// # Errors
    ///
    /// `already-exists`, or `conflict` when the stored size is not `total`.
    fn commit(&mut self, host: &dyn StorageHost, total: u64, digests: &[Digest]) -> Result<Object>;
    /// Gives the upload up; nothing stays behind. Idempotent.
    ///
    /// # Errors
    ///
    /// What the storage answers; the host calls it again.
    fn abort(&mut self, host: &dyn StorageHost) -> Result<()>;
}

/// A storage whose bytes only the plugin can move. Exported with
/// [`export_streaming_storage!`](crate::export_streaming_storage); its locators and targets are
/// `GuestStream`.
///
/// It is the slow path, for bytes that have no other: a storage of plain files answers where they
/// are. Readers and writers are opened in instances of their own, perhaps two at once: they share
/// nothing but the storage.
pub trait StreamStorage: Storage {
    /// Gives the bytes of an object.
    type Reader: StreamReader;
    /// Takes the bytes of an upload.
    type Writer: StreamWriter;

    /// Opens one version of an object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn reader(&self, host: &dyn StreamHost, key: &str) -> Result<Self::Reader>;
    /// Continues the upload of a token, of which the target is [`WriteTarget::GuestStream`].
    ///
    /// # Errors
    ///
    /// `not-found` when nothing of the upload is left.
    fn writer(&self, host: &dyn StreamHost, token: &[u8]) -> Result<Self::Writer>;
}

/// Gives the bytes of an object.
pub trait StreamReader: 'static {
    /// Returns the size of the object in bytes.
    fn size(&self) -> u64;
    /// Reads exactly `length` bytes (1 to 1 MiB), all of them inside the object; offsets come in
    /// any order.
    ///
    /// # Errors
    ///
    /// `conflict` when the object was replaced since it was opened.
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
    /// Returns the order of bytes that the writer needs. The default asks least of the storage.
    fn order(&self) -> Order {
        Order::Ascending
    }
    /// Writes 1 byte to 1 MiB at `offset`.
    ///
    /// # Errors
    ///
    /// What the storage answers. With [`Order::Ascending`] the upload is over.
    fn write(&mut self, host: &dyn StreamHost, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes the upload exactly `size` bytes long and durable, once all bytes were written, perhaps
    /// by another writer as well. It is not visible yet: [`Upload::commit`] does that. It may be
    /// called again.
    ///
    /// The default is for storages where a [`write`](Self::write) is durable when it returns, and
    /// that need no length.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn finish(&mut self, _host: &dyn StreamHost, _size: u64) -> Result<()> {
        Ok(())
    }
}
