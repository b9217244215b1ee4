//! What the host offers, as traits: in a component they are the real host, in a test the mock host.

use crate::{
    error::{Error, Result},
    types::{ByteRange, Props},
};

/// Bounds of [`Blob::read_each`].
const MAX_EACH: u32 = 64;
/// See [`MAX_EACH`].
const MAX_PLACES: usize = 8192;

/// Random access to bytes that the host opened. For metadata: reads are metered and cached in
/// blocks of 64 KiB.
pub trait Blob {
    /// Bytes.
    fn size(&self) -> u64;
    /// At most 1 MiB; short only at the end of the blob.
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// Scattered reads in one crossing; at most 1 MiB together and 1024 ranges.
    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>>;
    /// The same number of bytes, 1 to 64, at each of at most 8192 places, one behind the other;
    /// never short (`blob.truncated`). For one marker in every 64 KiB, say: nothing but the places
    /// and the bytes crosses.
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
    /// Tells the host what comes next.
    fn prefetch(&self, ranges: &[ByteRange]);
}

/// The operator's settings of this plugin.
pub trait Config {
    /// One setting.
    fn config(&self, key: &str) -> Option<String>;
}

/// The piece of work that a call belongs to.
pub trait Task {
    /// Somebody asked to stop: undo and return.
    fn cancelled(&self) -> bool;
    /// Milliseconds until the host gives up on this call.
    fn remaining_ms(&self) -> Option<u64>;
    /// Milliseconds on a clock that never goes back; the zero is arbitrary.
    fn monotonic_ms(&self) -> u64;
    /// Suspends the call: it counts against the wall limit, not the CPU limit.
    fn sleep_ms(&self, ms: u32);
    /// Shown to whoever waits.
    fn progress(&self, done: u64, total: Option<u64>, note: &str);
}

/// A name below a granted directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Relative to the directory that was listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes.
    pub size: u64,
    /// Bytes that the file occupies.
    pub allocated: u64,
    /// Milliseconds since 1970.
    pub modified_ms: u64,
}

/// A page of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirListing {
    /// In ascending byte order of the names.
    pub entries: Vec<DirEntry>,
    /// Pass back to go on; `None` is the end.
    pub resume: Option<String>,
}

/// Room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// Free.
    pub available: u64,
}

/// Whether publishing may replace what has the final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Allowed,
    /// An existing name is `already-exists`.
    Refused,
}

/// Names below granted directories. The bytes of the files are the host's business.
pub trait Dirs {
    /// One name.
    fn stat(&self, grant: &str, path: &str) -> Result<DirEntry>;
    /// In ascending byte order of the names, after `resume`, at most `max` (and at most 1000).
    fn list(&self, grant: &str, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing>;
    /// Creates a directory whose parent exists; one that is there already is fine.
    fn create_directory(&self, grant: &str, path: &str) -> Result<()>;
    /// Idempotent.
    fn remove_file(&self, grant: &str, path: &str) -> Result<()>;
    /// Makes a finished file visible under its final name, durably.
    fn publish(&self, grant: &str, temporary: &str, final_path: &str, replace: Replace) -> Result<()>;
    /// Room of the file system below a grant.
    fn space(&self, grant: &str) -> Result<Space>;
}

/// Bytes of files below granted directories, for storages that stream. A storage of plain files
/// answers locators instead.
pub trait Files {
    /// At most 1 MiB; short only at the end of the file.
    fn read_at(&self, grant: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// At most 1 MiB; creates the file, whose directory is there. What lies between its end and
    /// `offset` reads as zeroes.
    fn write_at(&self, grant: &str, path: &str, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes the file exactly that long; what was never written reads as zeroes. Creates it.
    fn set_size(&self, grant: &str, path: &str, size: u64) -> Result<()>;
    /// What was written is durable when this returns.
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

/// The durable journal of one piece of work.
pub trait Journal {
    /// When it returns, the note is on disk. At most 64 KiB a note and 1000 notes.
    fn record(&self, note: &Note) -> Result<()>;
    /// All notes so far, oldest first.
    fn notes(&self) -> Vec<Note>;
}

/// How messages on a channel are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As they come, in chunks of at most 64 KiB.
    Bytes,
    /// One line a message, without its line feed.
    Lines,
}

/// An open conversation; dropping it closes it.
pub trait Channel {
    /// Sends one message. A command that the grant does not allow is `denied` and never reaches the
    /// peer.
    fn send(&self, message: &[u8]) -> Result<()>;
    /// `None` is a timeout; a closed peer is an error with the code `channel.closed`.
    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>>;
}

/// A socket address that the peer of a channel listens on, so that the host connects to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// For an NBD locator.
    pub id: String,
    /// For the peer.
    pub peer_path: String,
}

/// Opens conversations.
pub trait Channels {
    /// `params` fill the placeholders of the granted path; they may hold letters, digits, `.`, `_`,
    /// `-`.
    fn open(&self, grant: &str, params: &[(&str, &str)], framing: Framing) -> Result<Box<dyn Channel>>;
    /// The path lives in a folder that the host owns and goes with the piece of work.
    fn reserve_endpoint(&self, grant: &str, hint: &str) -> Result<Endpoint>;
}

/// What a storage plugin gets.
pub trait StorageHost: Config + Dirs + Task {}
impl<T: Config + Dirs + Task> StorageHost for T {}

/// What a storage plugin gets while it moves bytes itself.
pub trait StreamHost: StorageHost + Files {}
impl<T: StorageHost + Files> StreamHost for T {}

/// What a hypervisor plugin gets.
pub trait HypervisorHost: Config + Channels + Journal + Task {}
impl<T: Config + Channels + Journal + Task> HypervisorHost for T {}
