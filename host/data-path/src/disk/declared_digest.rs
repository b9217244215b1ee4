//! Comparing a disk with the digest that its wrapper declares, so that a damaged appliance is
//! refused and not converted.

use tokio_util::sync::CancellationToken;

use super::virtual_disk::Disk;
use crate::{error::EngineError, util::blocking::run_blocking};

/// Compares a disk with the digest that its wrapper declares, if it declares one. Reads all of the
/// file in the wrapper.
///
/// # Errors
///
/// [`EngineError::Digest`] where they differ, [`EngineError::Cancelled`], and whatever reading the
/// file reports.
pub async fn check_declared_digest(disk: &Disk, cancel: &CancellationToken) -> Result<(), EngineError> {
    let Some(declared) = disk.declared_digest().cloned() else { return Ok(()) };
    let cancel = cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    run_blocking(move || declared.verify(&cancel)).await?
}

/// Runs an operation on a disk and compares the disk with its declared digest at the same time. The
/// operation's own error is returned unless the digest is wrong, too, which explains it.
pub(crate) async fn with_digest_check<T>(
    disk: &Disk,
    cancel: &CancellationToken,
    operation: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    if disk.declared_digest().is_none() {
        return operation.await;
    }
    let checking = check_declared_digest(disk, cancel);
    tokio::pin!(operation, checking);
    tokio::select! {
        checked = &mut checking => {
            checked?;
            operation.await
        }
        outcome = &mut operation => match outcome {
            Err(EngineError::Cancelled) => Err(EngineError::Cancelled),
            outcome => {
                checking.await?;
                outcome
            }
        }
    }
}
