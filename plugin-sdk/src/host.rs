//! What the host offers, as traits: in a component they are the real host, in a test the mock host.

use crate::{
    error::{Error, Result},
    http::{Request, Response, Session},
    types::{ByteRange, Props},
};

/// Bounds of [`Blob::read_each`].
const MAX_EACH: u32 = 64;
/// See [`MAX_EACH`].
const MAX_PLACES: usize = 8192;

/// Random access to bytes that the host opened. For metadata: reads are metered and cached in
/// blocks of 64 KiB. [`crate::format::blob`] reads tables with it.
pub trait Blob {
    /// Returns the size in bytes.
    fn size(&self) -> u64;
    /// Reads at most 1 MiB; the answer is short only at the end of the blob.
    ///
    /// # Errors
    ///
    /// `blob.read` for a longer read, `plugin.metadata-limit` when the image was read too much, and
    /// what the device answers.
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// Reads several ranges in one call of the host; at most 1 MiB together and 1024 ranges.
    ///
    /// # Errors
    ///
    /// As [`Self::read_at`].
    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>>;
    /// Reads the same number of bytes, 1 to 64, at each of at most 8192 places; the answers follow
    /// each other. For one marker in every 64 KiB, say: nothing but the places and the bytes
    /// crosses.
    ///
    /// # Errors
    ///
    /// `blob.truncated` when the blob ends before one of them does, and as [`Self::read_at`].
    fn read_each(&self, offsets: &[u64], length: u32) -> Result<Vec<u8>> {
        if !(1..=MAX_EACH).contains(&length) || offsets.len() > MAX_PLACES {
            let what = format!(
                "{length} bytes at each of {} places; {MAX_EACH} and {MAX_PLACES} are possible",
                offsets.len()
            );
            return Err(Error::limit("blob.read", what));
        }
        let mut all = Vec::new();
        for offset in offsets {
            let bytes = self.read_at(*offset, length)?;
            if u32::try_from(bytes.len()) != Ok(length) {
                let what = format!("the file ends within the {length} bytes at {offset}");
                return Err(Error::corrupt("blob.truncated", what));
            }
            all.extend(bytes);
        }
        Ok(all)
    }
    /// Lets the host read ahead what comes next.
    fn prefetch(&self, ranges: &[ByteRange]);
}

/// The operator's settings of this plugin.
pub trait Config {
    /// Returns one setting; `None` when the operator did not set it. Keys that begin with
    /// `imprint.` are those of the host ([`Marker`](crate::storage::Marker)).
    fn config(&self, key: &str) -> Option<String>;
}

/// The task that a call belongs to.
pub trait Task {
    /// Returns whether the task was cancelled: undo and return.
    fn cancelled(&self) -> bool;
    /// Returns the milliseconds until the host gives up on this call; `None` without a deadline.
    fn remaining_ms(&self) -> Option<u64>;
    /// Returns the milliseconds on a clock that never goes back; its zero is arbitrary.
    fn monotonic_ms(&self) -> u64;
    /// Suspends the call: it counts against the wall limit, not the CPU limit.
    fn sleep_ms(&self, ms: u32);
    /// Reports progress, which is shown with the task.
    fn progress(&self, done: u64, total: Option<u64>, note: &str);
}

/// A name below a granted directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Relative to the directory that was listed.
    pub name: String,
    /// Whether the name is that of a directory.
    pub is_directory: bool,
    /// The size in bytes.
    pub size: u64,
    /// Bytes that the file occupies on its device.
    pub allocated: u64,
    /// The time of the last change, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A page of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirListing {
    /// In ascending byte order of the names.
    pub entries: Vec<DirEntry>,
    /// Where the next page continues; `None` at the end.
    pub resume: Option<String>,
}

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is free.
    pub available: u64,
}

/// Whether publishing may replace what has the final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Publishing replaces it.
    Allowed,
    /// Publishing fails with `already-exists`.
    Refused,
}

/// The mounted file system that a granted directory is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The type: `ext4`, `nfs4`, `fuse.NAME`.
    pub file_system: String,
    /// What is mounted, as the system names it: `SERVER:/EXPORT` for NFS.
    pub source: String,
    /// The part of `source` that is mounted: `/`, or the path of a folder in it.
    pub root: String,
    /// The directory's path below the mount point; empty for the mount point itself.
    pub inside: String,
    /// The options of the file system, with commas in between.
    pub options: String,
}

/// Names below granted directories. The host reads and writes the bytes of the files.
pub trait Dirs {
    /// Returns what one name is.
    ///
    /// # Errors
    ///
    /// `dirs.not-found`, `plugin.denied` for a directory that is not granted and for a path that
    /// leads out of it, `dirs.name` for a name that no file system holds.
    fn stat(&self, grant: &str, path: &str) -> Result<DirEntry>;
    /// Lists a directory in ascending byte order of the names, after `resume`, at most `max` (and
    /// at most 1000).
    ///
    /// # Errors
    ///
    /// As [`Self::stat`].
    fn list(&self, grant: &str, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing>;
    /// Creates a directory below one that exists. Idempotent.
    ///
    /// # Errors
    ///
    /// As [`Self::stat`].
    fn create_directory(&self, grant: &str, path: &str) -> Result<()>;
    /// Removes a file. Idempotent.
    ///
    /// # Errors
    ///
    /// As [`Self::stat`].
    fn remove_file(&self, grant: &str, path: &str) -> Result<()>;
    /// Removes an empty directory. Idempotent.
    ///
    /// # Errors
    ///
    /// `dirs.not-empty` for one that holds names, `dirs.not-found` for a file, and as
    /// [`Self::stat`].
    fn remove_directory(&self, grant: &str, path: &str) -> Result<()>;
    /// Makes a finished file visible under its final name, durably.
    ///
    /// # Errors
    ///
    /// `dirs.exists` with [`Replace::Refused`], `dirs.not-found` when the temporary file or the
    /// directory of the final name is missing, `storage.no-space`, `storage.read-only`, and as
    /// [`Self::stat`].
    fn publish(&self, grant: &str, temporary: &str, final_path: &str, replace: Replace) -> Result<()>;
    /// Returns the room of the file system of a granted directory.
    ///
    /// # Errors
    ///
    /// `plugin.denied` for a directory that is not granted.
    fn space(&self, grant: &str) -> Result<Space>;
    /// Returns how a granted directory is mounted, as the system knows it. The file system itself
    /// is not asked, so one that does not answer does not matter.
    ///
    /// # Errors
    ///
    /// `plugin.denied` for a directory that is not granted, `dirs.io` where the system does not say
    /// it.
    fn mount(&self, grant: &str) -> Result<Mount>;
}

/// Bytes of files below granted directories, for storages that stream. A storage of plain files
/// answers locators instead.
pub trait Files {
    /// Reads at most 1 MiB; the answer is short only at the end of the file.
    ///
    /// # Errors
    ///
    /// As [`Dirs::stat`].
    fn read_at(&self, grant: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// Writes at most 1 MiB; creates the file in a directory that exists. What is between its end
    /// and `offset` reads as zeroes.
    ///
    /// # Errors
    ///
    /// `storage.no-space`, `storage.read-only`, and as [`Dirs::stat`].
    fn write_at(&self, grant: &str, path: &str, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes the file exactly `size` bytes long; what was never written reads as zeroes. Creates
    /// it.
    ///
    /// # Errors
    ///
    /// As [`Self::write_at`].
    fn set_size(&self, grant: &str, path: &str, size: u64) -> Result<()>;
    /// Makes durable what was written.
    ///
    /// # Errors
    ///
    /// As [`Self::write_at`].
    fn sync(&self, grant: &str, path: &str) -> Result<()>;
}

/// A note before a risky step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Name of the step: `freezing`, `stopping`, ...
    pub step: String,
    /// What recovery needs to know.
    pub data: Props,
}

/// The durable journal of one capture.
pub trait Journal {
    /// Records a note, which is on disk when this returns. At most 64 KiB a note and 1000 notes.
    ///
    /// # Errors
    ///
    /// When the note could not be made durable: do not take the step.
    fn record(&self, note: &Note) -> Result<()>;
    /// Returns all notes so far, oldest first.
    fn notes(&self) -> Vec<Note>;
}

/// How messages on a channel are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As they come, in chunks of at most 64 KiB.
    Bytes,
    /// One line a message, without its line feed.
    Lines,
}

/// An open conversation; dropping it closes it.
pub trait Channel {
    /// Sends one message.
    ///
    /// # Errors
    ///
    /// `denied` for a command that the grant does not allow, which never reaches the peer;
    /// `channel.closed` when the peer is gone.
    fn send(&self, message: &[u8]) -> Result<()>;
    /// Receives the next message; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// `channel.closed` when the peer is gone.
    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>>;
}

/// A socket address that the peer of a channel listens on, so that the host connects to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The id, for [`NbdRef::endpoint`](crate::types::NbdRef).
    pub id: String,
    /// The path that the peer listens on.
    pub peer_path: String,
}

/// Opens conversations.
pub trait Channels {
    /// Opens a channel. `params` fill the placeholders of the granted path; they may hold letters,
    /// digits, `.`, `_`, `-`.
    ///
    /// # Errors
    ///
    /// `channel.unreachable` when nothing listens there, `denied` for a grant that does not exist.
    fn open(&self, grant: &str, params: &[(&str, &str)], framing: Framing) -> Result<Box<dyn Channel>>;
    /// Reserves a socket address in a folder that the host owns and removes with the task.
    ///
    /// # Errors
    ///
    /// `denied` for a grant that does not exist.
    fn reserve_endpoint(&self, grant: &str, hint: &str) -> Result<Endpoint>;
}

/// HTTP requests that the plugin describes and the host sends. The bytes of objects are moved by
/// the host alone.
pub trait Http {
    /// Sends a request and returns the answer, whatever its status; the host has repeated it where
    /// the status is one of `retry_on`. The body is at most 4 MiB, that of the answer at most
    /// `max_response` and 1 MiB.
    ///
    /// # Errors
    ///
    /// `denied` for a URL that the manifest does not name or an address that the operator does not
    /// permit, `limit-exceeded` for a longer body, `transient` for a server that cannot be reached.
    fn send(&self, request: &Request) -> Result<Response>;
    /// Signs in: sends the request, keeps the credential of the answer, and returns the answer
    /// without it. While the session is valid, the kept answer is returned.
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; `invalid-input` when a success has no such header.
    fn sign_in(&self, session: &Session, request: &Request) -> Result<Response>;
    /// Returns whether the operator has set a secret.
    fn has_secret(&self, name: &str) -> bool;
}

/// A connection to a server with a protocol of its own; dropping it closes it.
pub trait Connection {
    /// Sends all bytes, at most 2 MiB.
    ///
    /// # Errors
    ///
    /// `transient` when the peer is gone.
    fn send(&self, bytes: &[u8]) -> Result<()>;
    /// Returns bytes that have arrived, at most `max` (1 to 2 MiB), and waits for the first one. An
    /// empty list: the peer has closed the connection. `None`: nothing arrived in time.
    ///
    /// # Errors
    ///
    /// `transient` when the connection broke.
    fn receive(&self, max: u32, timeout_ms: u32) -> Result<Option<Vec<u8>>>;
}

/// Connections to servers with a protocol of their own.
pub trait Tcp {
    /// Connects within the host's time limit. `grant` is the id in the manifest.
    ///
    /// # Errors
    ///
    /// `denied` for a peer that the manifest does not name or an address that the operator does not
    /// permit, `transient` for one that cannot be reached.
    fn connect(&self, grant: &str, host: &str, port: u16) -> Result<Box<dyn Connection>>;
}

/// What a storage of files in granted directories gets.
pub trait StorageHost: Config + Dirs + Task {}
impl<T: Config + Dirs + Task> StorageHost for T {}

/// What a storage behind HTTP gets.
pub trait HttpStorageHost: Config + Http + Task {}
impl<T: Config + Http + Task> HttpStorageHost for T {}

/// What a storage with a protocol of its own gets. It may use a granted directory as well, for a
/// server that is mounted.
pub trait TcpStorageHost: Config + Dirs + Task + Tcp {}
impl<T: Config + Dirs + Task + Tcp> TcpStorageHost for T {}

/// What a storage plugin gets while it moves bytes itself.
pub trait StreamHost: StorageHost + Files {}
impl<T: StorageHost + Files> StreamHost for T {}

/// What an inspector gets besides the disk.
pub trait InspectorHost: Config + Task {}
impl<T: Config + Task> InspectorHost for T {}

/// What a hypervisor plugin gets.
pub trait HypervisorHost: Config + Channels + Journal + Task {}
impl<T: Config + Channels + Journal + Task> HypervisorHost for T {}
