//! Image storages: where the bytes of an image are, and how an upload becomes visible.

use crate::{
    error::{Error, Result},
    glue::HostSide,
    host::{Space, StorageHost, StreamHost},
    http::{Request, Response},
    types::{Digest, FileRef, Props, ReadLocator},
};

mod marker;
mod object;
mod token;

pub use marker::Marker;
pub use object::{no_object, object_exists};
pub use token::{MAX_TOKEN, no_token, read_token};

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

/// The parts that an upload is sent in. The host cuts, hashes, signs, sends, and repeats what
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The size of every part but the last one, in bytes.
    pub part_size: u64,
    /// The largest number of parts.
    pub max_parts: u32,
    /// The number of parts that the server takes at once.
    pub max_parallel: u16,
    /// Whether parts may be sent in any order.
    pub unordered: bool,
}

/// One part of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number, from 1.
    pub number: u32,
    /// The size in bytes.
    pub length: u64,
}

/// The answer to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartResult {
    /// The number of the part, from 1.
    pub number: u32,
    /// The server's answer, with the captured headers.
    pub response: Response,
    /// The digests that the host computed.
    pub digests: Vec<Digest>,
}

/// Where the bytes of an upload go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteTarget {
    /// A new local file under a temporary name.
    File(FileRef),
    /// Requests that the upload describes ([`Upload::describe_parts`]).
    Multipart(Multipart),
    /// The plugin takes the bytes itself ([`StreamStorage::writer`]).
    GuestStream,
}

/// An image storage, opened with the operator's settings.
pub trait Storage: Sized + 'static {
    /// What the storage needs of the host: `dyn StorageHost` for granted directories, `dyn
    /// HttpStorageHost` for a server behind HTTP, `dyn TcpStorageHost` for a protocol of its own.
    type Host: HostSide + ?Sized;
    /// An upload in progress.
    type Upload: Upload<Self::Host>;

    /// Opens the storage.
    ///
    /// # Errors
    ///
    /// `invalid-input` for settings that make no sense.
    fn open(host: &Self::Host, settings: &Props) -> Result<Self>;
    /// Returns what the storage can do.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn features(&self, host: &Self::Host) -> Result<Features>;
    /// Returns the room that is left; `None` where the storage has no such notion.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn space(&self, host: &Self::Host) -> Result<Option<Space>>;
    /// Returns one object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn stat(&self, host: &Self::Host, key: &str) -> Result<Object>;
    /// Returns the objects whose key starts with `prefix`, after `resume`, at most `max`.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    fn list(&self, host: &Self::Host, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing>;
    /// Returns where to read an object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn open_read(&self, host: &Self::Host, key: &str) -> Result<ReadLocator>;
    /// Deletes objects, and returns the keys that could not be deleted. Idempotent.
    ///
    /// # Errors
    ///
    /// When none could be tried.
    fn delete(&self, host: &Self::Host, keys: &[String]) -> Result<Vec<(String, Error)>>;
    /// Begins an upload.
    ///
    /// # Errors
    ///
    /// `already-exists` when the object is there and the request forbids it.
    fn begin_upload(&self, host: &Self::Host, request: &WriteRequest) -> Result<Self::Upload>;
    /// Continues an upload after a crash.
    ///
    /// # Errors
    ///
    /// `not-found` when nothing of it is left.
    fn resume_upload(&self, host: &Self::Host, token: &[u8]) -> Result<Self::Upload>;
    /// Undoes whatever `token` describes, after a crash. Idempotent.
    ///
    /// # Errors
    ///
    /// What the storage answers; the host calls it again.
    fn cleanup(&self, host: &Self::Host, token: &[u8]) -> Result<()>;
}

/// An upload in progress. Nothing is visible under its key before [`Upload::commit`].
pub trait Upload<H: ?Sized = dyn StorageHost>: 'static {
    /// Returns what identifies the upload after a crash: at most 4 KiB, opaque to the host, which
    /// stores it before the first byte moves.
    fn token(&self) -> Vec<u8>;
    /// Returns where the bytes go.
    fn target(&self) -> WriteTarget;
    /// Describes how parts are sent, for [`WriteTarget::Multipart`]: at most 1000 in one call.
    ///
    /// # Errors
    ///
    /// `invalid-input` for a part that the upload cannot have.
    fn describe_parts(&mut self, _host: &H, _parts: &[Part]) -> Result<Vec<Request>> {
        Err(no_parts())
    }
    /// Takes the answers to parts, at most 1000 in one call: those that `commit` needs. An answer
    /// that the request did not expect is passed alone.
    ///
    /// # Errors
    ///
    /// What an unexpected answer means.
    fn completed(&mut self, _host: &H, _results: &[PartResult]) -> Result<()> {
        Err(no_parts())
    }
    /// Makes the object visible in one step, once its bytes are complete and durable.
    ///
    /// # Errors
    ///
    /// `already-exists`, or `conflict` when the stored size is not `total`.
    fn commit(&mut self, host: &H, total: u64, digests: &[Digest]) -> Result<Object>;
    /// Gives the upload up; nothing stays behind. Idempotent.
    ///
    /// # Errors
    ///
    /// What the storage answers; the host calls it again.
    fn abort(&mut self, host: &H) -> Result<()>;
}

fn no_parts() -> Error {
    Error::unsupported("storage.no-parts", "this storage writes whole files; it has no parts")
}

/// A storage whose bytes only the plugin can move. Exported with
/// [`export_streaming_storage!`](crate::export_streaming_storage); its locators and targets are
/// `GuestStream`.
///
/// It is the slow path, for bytes that have no other: a storage of plain files answers where they
/// are. Readers and writers are opened in instances of their own, perhaps two at once: they share
/// nothing but the storage.
pub trait StreamStorage: Storage {
    /// What readers and writers need of the host: `dyn StreamHost` for the files of granted
    /// directories, or what [`Storage::Host`] is.
    type StreamHost: HostSide + ?Sized;
    /// Gives the bytes of an object.
    type Reader: StreamReader<Self::StreamHost>;
    /// Takes the bytes of an upload.
    type Writer: StreamWriter<Self::StreamHost>;

    /// Opens the storage in an instance that moves bytes.
    ///
    /// # Errors
    ///
    /// As [`Storage::open`].
    fn open_stream(host: &Self::StreamHost, settings: &Props) -> Result<Self>;
    /// Opens one version of an object.
    ///
    /// # Errors
    ///
    /// `not-found` when there is none with this key.
    fn reader(&self, host: &Self::StreamHost, key: &str) -> Result<Self::Reader>;
    /// Continues the upload of a token, of which the target is [`WriteTarget::GuestStream`].
    ///
    /// # Errors
    ///
    /// `not-found` when nothing of the upload is left.
    fn writer(&self, host: &Self::StreamHost, token: &[u8]) -> Result<Self::Writer>;
}

/// Gives the bytes of an object.
pub trait StreamReader<H: ?Sized = dyn StreamHost>: 'static {
    /// Returns the size of the object in bytes.
    fn size(&self) -> u64;
    /// Reads exactly `length` bytes (1 to 1 MiB), all of them inside the object; offsets come in
    /// any order.
    ///
    /// # Errors
    ///
    /// `conflict` when the object was replaced since it was opened.
    fn read(&mut self, host: &H, offset: u64, length: u32) -> Result<Vec<u8>>;
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
pub trait StreamWriter<H: ?Sized = dyn StreamHost>: 'static {
    /// Returns the order of bytes that the writer needs. The default asks least of the storage.
    fn order(&self) -> Order {
        Order::Ascending
    }
    /// Writes 1 byte to 1 MiB at `offset`.
    ///
    /// # Errors
    ///
    /// What the storage answers. With [`Order::Ascending`] the upload is over.
    fn write(&mut self, host: &H, offset: u64, bytes: &[u8]) -> Result<()>;
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
    fn finish(&mut self, _host: &H, _size: u64) -> Result<()> {
        Ok(())
    }
}
