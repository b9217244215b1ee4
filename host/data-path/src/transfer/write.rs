//! Writes a disk as a new image: the pipeline for the payload, the format plugin for rules, headers
//! and tables.

mod append;
pub(crate) mod clone;
mod prepare;
mod session;
mod tables;

use std::sync::Arc;

use imprint_ports::{BlockSink, DiskFormat};

use self::{
    prepare::{PreparedTransfer, prepare},
    session::WriteSession,
};
use super::{
    options::WriteOptions,
    plan::{TransferResult, WriteMode, WritePlan},
};
use crate::{
    digest::{DigestMode, DiskDigest},
    disk::{Disk, declared_digest::with_digest_check},
    error::EngineError,
};

/// The result of [`write_image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The length of the file in bytes.
    pub file_size: u64,
    /// The number of virtual bytes in 64 KiB clusters that are not zero.
    pub data_bytes: u64,
    /// The number of bytes that were written: payload and tables, without holes.
    pub written_bytes: u64,
    /// The number of bytes that were read from the sources.
    pub read_bytes: u64,
    /// The digest of the disk, the same in every format.
    pub logical: DiskDigest,
    /// The digest of the file.
    pub stored: DiskDigest,
}

/// The result of [`copy_image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// See [`Written::virtual_size`].
    pub virtual_size: u64,
    /// See [`Written::file_size`].
    pub file_size: u64,
    /// See [`Written::data_bytes`].
    pub data_bytes: u64,
    /// See [`Written::written_bytes`].
    pub written_bytes: u64,
    /// See [`Written::read_bytes`].
    pub read_bytes: u64,
}

/// Writes a disk to a sink in the given format. When this returns, the bytes are durable (unless
/// the options do not require it); making them visible is up to the caller. On any error, also when
/// the future is dropped, the threads stop, and the caller discards the sink.
///
/// The bytes depend on the disk, the format and the options only, not on the number of threads. A
/// sink that can only be appended to gets the same bytes as a file, except where a layout packs
/// compressed units into gaps that were left before.
///
/// Compares the digest that a wrapper declares for the disk at the same time.
///
/// # Errors
///
/// Whatever the format plugin reports, whatever reading, decoding and writing report,
/// [`EngineError::InvalidOption`] and [`EngineError::Unsupported`] for options that the layout
/// cannot meet, [`EngineError::SourceChanged`], [`EngineError::Mismatch`] with `verify`, and
/// [`EngineError::Cancelled`].
pub async fn write_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Written, EngineError> {
    let (copied, TransferResult { logical, stored, .. }) =
        write_disk(disk, format, sink, options, DigestMode::Computed).await?;
    let Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes } = copied;
    Ok(Written { virtual_size, file_size, data_bytes, written_bytes, read_bytes, logical, stored })
}

/// Writes the same file as [`write_image`] without computing digests, for callers that do not need
/// them or have them already; therefore without verification as well.
///
/// # Errors
///
/// As [`write_image`].
pub async fn copy_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Copied, EngineError> {
    if options.verify {
        let what = "verification needs the digests; write with them".to_owned();
        return Err(EngineError::InvalidOption { what });
    }
    Ok(write_disk(disk, format, sink, options, DigestMode::Skipped).await?.0)
}

/// Writes the disk and compares its declared digest at the same time.
async fn write_disk(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
    digests: DigestMode,
) -> Result<(Copied, TransferResult), EngineError> {
    let moving = async {
        let cancel = options.cancel.child_token();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let mode = WriteMode::of(sink.as_ref());
        let PreparedTransfer { plugin, layout, virtual_size } =
            prepare(disk, format, options, mode, &cancel).await?;
        let WriteOptions { level, durable, .. } = *options;
        // Two passes over the source have to agree.
        let digests = if mode == WriteMode::Append { DigestMode::Computed } else { digests };
        let plan = WritePlan { layout, virtual_size, level, durable, mode, digests };
        let transfer = options.backend.0.write(disk, sink, &plan, &options.context(&cancel)).await?;
        let mut session = WriteSession { plugin, transfer, cancel, layout: plan.layout, virtual_size };
        let file_size = match mode {
            WriteMode::Sparse | WriteMode::Dense => session.write_in_any_order().await?,
            WriteMode::Append => session.write_in_order().await?,
        };
        let moved = session.transfer.finish(file_size, options.verify).await?;
        let TransferResult { data_bytes, written_bytes, read_bytes, .. } = moved;
        Ok((Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes }, moved))
    };
    with_digest_check(disk, &options.cancel, moving).await
}

#[cfg(test)]
mod tests;
