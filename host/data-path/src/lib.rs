//! The native engine that moves disk images. It talks to plugins through the ports (`imprint-ports`).
//!
//! A plugin describes (where bytes are, how a disk maps to them, how to lay out a new file); this
//! crate validates every description, and then opens, reads, decodes, hashes, encodes and writes,
//! on all cores and with bounded memory.
//!
//! # How it is used
//!
//! ```ignore
//! // Where the bytes are: a file below a granted folder, or a live export.
//! let source: Arc<dyn BlockSource> = Arc::new(FileSource::open(&dir, "images/web.qcow2")?);       // blocking
//! let source: Arc<dyn BlockSource> = Arc::new(NbdClient::connect(&NbdOptions::new(socket, ""))?);  // blocking
//!
//! // What disk they hold: through a format (validated, parents refused by default), or as they are.
//! let disk = Arc::new(Disk::open(format, source, &OpenOptions::default()).await?);
//! let disk = Arc::new(Disk::from_raw(source, &Limits::default())?);                                // blocking
//!
//! // Write it as an image in any format; `written` has the sizes and both digests.
//! let sink: Arc<dyn BlockSink> = Arc::new(FileSink::create(&dir, "images/.upload-1")?);           // blocking
//! let written = write_image(&disk, format, &sink, &WriteOptions::default()).await?;
//! durable::publish(&dir, "images/.upload-1", "images/web.qcow2", Existing::Keep, Durability::Synced)?; // blocking
//! ```
//!
//! `blocking` means what it says: inside async code call it through `tokio::task::spawn_blocking`.
//!
//! # Map of the crate
//!
//! - Sources and sinks: over files [`FileSource`], [`FileSink`]; over block devices
//!   [`DeviceSource`], [`DeviceSink`]; over NBD [`nbd`]; over HTTP [`http`]; over anything that can
//!   be appended to [`AppendSink`].
//! - [`Disk`], [`ExtentMap`], [`Resolver`], [`Limits`]: a virtual disk over validated maps.
//!   [`GrantedFiles`]: chains of files.
//! - [`clone_image`]: a plain copy that shares its blocks with the source, where the file system
//!   can.
//! - [`write_image`] and [`copy_image`] (without digests): the pipeline; [`Progress`] watches it, a
//!   cancellation token stops it.
//! - [`DiskDigest`]: the one digest definition. [`digest`], [`compare`], [`check`], [`detect`],
//!   [`confirm_format`], [`refuse_foreign`].
//! - [`EngineError`]: `code()` for programs, `class()` for deciding what to do, `report()` for
//!   people.
//!
//! Not here: the ports and the traits of sources and sinks (`ports`), components and sandboxes (`plugin-runtime`), tasks and limits of accounts (`service`).

mod codec;
mod digest;
mod disk;
mod error;
mod limits;
mod map;
pub mod mover;
#[cfg(test)]
mod testing;
mod transfer;
mod transport;
mod util;

pub use codec::{CodecKind, CodecSpec, DecodeError, Tail};
pub use digest::{CLUSTER, DiskDigest, InvalidDigest, sha256::sha256};
pub use disk::{
    Disk,
    check::{CheckReport, check},
    declared_digest::check_declared_digest,
    detect::{confirm_format, detect, refuse_foreign},
    granted::GrantedFiles,
    options::OpenOptions,
    reader::DiskReader,
    resolve::{DenyReferences, Resolved, Resolver},
};
pub use error::{ChainProblem, EngineError, TooSmall};
pub use limits::Limits;
pub use map::{
    extent_map::{Content, EncodedUnit, ExtentMap, MapBuilder, MapError, Piece, Pieces},
    scratch::{self, Scratch, ScratchError},
};
pub use transfer::{
    compare::Comparison,
    options::{Backend, WriteOptions},
    progress::{Phase, Progress, ProgressSnapshot},
    read::{compare, digest},
    write::{
        Copied, Written,
        clone::{Cloned, clone_image},
        copy_image, write_image,
    },
};
pub use transport::{
    append::AppendSink,
    file::{DeviceSink, DeviceSource, FileSink, FileSource, MemorySource, head_and_tail},
    http, nbd,
};
pub use util::zero::is_zero;
