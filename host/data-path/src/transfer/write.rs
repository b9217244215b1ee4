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

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Length of the file.
    pub file_size: u64,
    /// Virtual bytes in 64 KiB clusters that are not zero.
    pub data_bytes: u64,
    /// Bytes that were written: payload and tables, without holes.
    pub written_bytes: u64,
    /// Bytes that were read from the sources.
    pub read_bytes: u64,
    /// Digest of the disk, the same in every format.
    pub logical: DiskDigest,
    /// Digest of the file.
    pub stored: DiskDigest,
}

/// What was written without a look at what it is.
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
/// the options say that they need not be); making them visible is the caller's business. On any
/// error, also when the future is dropped, the threads stop, and the caller discards the sink.
///
/// The bytes depend on the disk, the format and the options only, not on the number of threads. A
/// sink that can only be appended to gets the same bytes as a file, except where a layout packs
/// compressed units into gaps that were left before.
///
/// What a wrapper states of the disk's digest is compared on the way.
pub async fn write_image(
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Written, EngineError> {
    let (copied, TransferResult { logical, stored, .. }) =
        transfer(disk, format, sink, options, DigestMode::Computed).await?;
    let Copied { virtual_size, file_size, data_bytes, written_bytes, read_bytes } = copied;
    Ok(Written { virtual_size, file_size, data_bytes, written_bytes, read_bytes, logical, stored })
}

/// The same file as [`write_image`] makes, without digests: for who has no use for them, or has
/// them already. Therefore without verification as well.
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
    Ok(transfer(disk, format, sink, options, DigestMode::Skipped).await?.0)
}

/// Moves the disk, and compares what is stated of it beside that.
async fn transfer(
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
