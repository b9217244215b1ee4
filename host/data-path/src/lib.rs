//! The native engine that moves disk images. It talks to plugins through the ports
//! (`imprint-ports`).
//!
//! A plugin describes (where bytes are, how a disk maps to them, how to lay out a new file); this
//! crate validates every description, and then opens, reads, decodes, hashes, encodes and writes,
//! on all cores and with bounded memory.
//!
//! # Example
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use cap_std::fs::Dir;
//! use imprint_data_path::{
//!     Disk, EngineError, FileSink, FileSource, OpenOptions, WriteOptions, write_image,
//! };
//! use imprint_ports::{
//!     BlockSink, BlockSource, DiskFormat,
//!     durable::{self, Durability, Existing},
//! };
//!
//! async fn convert(dir: &Dir, from: &dyn DiskFormat, to: &dyn DiskFormat) -> Result<(), EngineError> {
//!     // The bytes: a file below a granted folder. Opening it blocks.
//!     let source: Arc<dyn BlockSource> = Arc::new(FileSource::open(dir, "images/web.vmdk")?);
//!     // The disk in them, by a format. Its map is validated, and parents are refused by default.
//!     let disk = Arc::new(Disk::open(from, source, &OpenOptions::default()).await?);
//!     // A new image of the disk; `written` has the sizes and both digests. Creating the file blocks.
//!     let sink: Arc<dyn BlockSink> = Arc::new(FileSink::create(dir, "images/.upload-1")?);
//!     let written = write_image(&disk, to, &sink, &WriteOptions::default()).await?;
//!     tracing::info!(size = written.file_size, digest = %written.logical, "image written");
//!     durable::publish(dir, "images/.upload-1", "images/web.qcow2", Existing::Keep, Durability::Synced)
//!         .map_err(|error| EngineError::write_open("images/web.qcow2", error))
//! }
//! ```
//!
//! Calls that block are made through `tokio::task::spawn_blocking` in async code.
//!
//! # Map of the crate
//!
//! - Sources and sinks: over files [`FileSource`], [`FileSink`]; over block devices
//!   [`DeviceSource`], [`DeviceSink`]; over NBD [`nbd`]; over streams that can be
//!   appended to [`AppendSink`], which [`HashingSink`] hashes; over HTTP in `imprint-http-client`.
//! - [`image_lock`]: whether a guest uses a disk file.
//! - [`Disk`], [`ExtentMap`], [`Resolver`], [`Limits`]: a virtual disk over validated maps.
//!   [`GrantedFiles`]: chains of files. [`InnerImage`]: the image in a wrapper.
//! - [`clone_image`]: a plain copy that shares its blocks with the source, where the file system
//!   can.
//! - [`write_image`] and [`copy_image`] (without digests): the pipeline; [`Progress`] has its
//!   counters, a cancellation token stops it.
//! - [`logical_source`]: the bytes that a guest sees, for looking into a disk.
//! - [`DiskDigest`]: the one digest definition. [`digest()`], [`compare`], [`check`], [`detect`],
//!   [`confirm_format`], [`refuse_foreign`].
//! - [`EngineError`]: `code()` for programs, `class()` for deciding what to do, `report()` as
//!   human-readable text.
//!
//! # Locks
//!
//! A thread that panics while it holds a lock fails its operation, and the others do not continue
//! with what it left behind: locking a poisoned mutex panics as well. There are three exceptions.
//! The ordered step of the pipeline has to stop the other threads even then, a stream as a sink
//! runs code of its owner under its lock, and the lock around writes to ext4 protects no data.
//!
//! Not here: the ports and the traits of sources and sinks (`ports`), components and sandboxes
//! (`plugin-runtime`), tasks and limits of accounts (`service`).

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
mod unpack;
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
    wrapped::InnerImage,
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
    read::{compare, digest, logical_source},
    write::{
        Copied, Written,
        clone::{Cloned, clone_image},
        copy_image, write_image,
    },
};
pub use transport::{
    append::AppendSink,
    file::{DeviceSink, DeviceSource, FileSink, FileSource, MemorySource, head_and_tail, image_lock},
    hashing::{Hashed, HashingSink},
    nbd,
};
pub use unpack::{PackedAs, UnpackError, Unpacked, unpack};
pub use util::{signals::report_file_limit, zero::is_zero};
