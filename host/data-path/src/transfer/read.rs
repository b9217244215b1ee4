//! Operations that read disks: their digest, their comparison, and reads here and there.

use std::sync::Arc;

use imprint_ports::BlockSource;

use super::{compare::Comparison, options::WriteOptions};
use crate::{
    digest::DiskDigest,
    disk::{Disk, declared_digest::with_digest_check},
    error::EngineError,
};

/// Reads the whole disk with all cores and returns its logical digest. Uses the options `threads`,
/// `cancel`, `progress` and `backend`.
///
/// # Errors
///
/// Whatever reading and decoding report, [`EngineError::Digest`] where the disk is not the one that
/// its wrapper declares, and [`EngineError::Cancelled`].
pub async fn digest(disk: &Arc<Disk>, options: &WriteOptions) -> Result<DiskDigest, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let context = options.context(&cancel);
    with_digest_check(disk, &cancel, options.backend.0.digest(disk, &context)).await
}

/// Compares two disks byte for byte, skipping what both know to be zero. Uses the options `cancel`,
/// `progress` and `backend`.
///
/// # Errors
///
/// As [`digest`].
pub async fn compare(
    first: &Arc<Disk>,
    second: &Arc<Disk>,
    options: &WriteOptions,
) -> Result<Comparison, EngineError> {
    let cancel = options.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let context = options.context(&cancel);
    let comparing = options.backend.0.compare(first, second, &context);
    with_digest_check(first, &cancel, with_digest_check(second, &cancel, comparing)).await
}

/// Returns the bytes of a disk as a source, whatever its format: holes and zeroes read as zeroes,
/// layers are resolved, encoded units are decoded, in a process of their own where
/// [`Backend::process`](crate::Backend::process) is used. Uses the options `cancel` and `backend`.
/// Memory: at most 8 MiB and one decoded unit.
///
/// The source ends its process when it is dropped.
///
/// # Errors
///
/// A mover that cannot be started.
pub async fn logical_source(
    disk: &Arc<Disk>,
    options: &WriteOptions,
) -> Result<Arc<dyn BlockSource>, EngineError> {
    let context = options.context(&options.cancel);
    options.backend.0.open(disk, &context).await
}
