//! Reservations: free space of an image storage that is promised to a task, so that captures that
//! start at the same time never overbook it (S100).
//!
//! A reservation is made in the transaction that queues the task. It counts until the written bytes
//! show in the free space that agents report: a report that comes shortly after the end of the task
//! may have been measured before it.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    id::{StorageId, TaskId},
    size::ByteSize,
    time::Timestamp,
};
use imprint_store::storage_use::{self, StorageUse};

use crate::{change::Change, db_result::DbResult};

/// The longest time between the measurement of free space and its report, in seconds: an agent
/// waits for its slowest storage before it sends a heartbeat.
const MEASURED_BEFORE_S: i64 = 10;

/// How long a reservation is kept after its end where no report removes it, in seconds.
const KEPT_S: i64 = 120;

/// Returns the time from which on every report was measured after `end`.
fn settles_at(end: Timestamp) -> Timestamp {
    end + TimeDelta::seconds(MEASURED_BEFORE_S)
}

/// Reserves bytes of a storage for a task; no bytes say only that the task needs the storage.
pub(crate) async fn reserve(
    change: &Change<'_>,
    task_id: TaskId,
    storage_id: StorageId,
    bytes: ByteSize,
) -> Result<(), Error> {
    storage_use::put(&change.tx, &StorageUse { task_id, storage_id, bytes }).await.db()
}

/// Ends the reservations of a task. `written` is the number of bytes that it wrote; `None` where it
/// is not known how much is still to be removed.
pub(crate) async fn settle(change: &Change<'_>, id: TaskId, written: Option<ByteSize>) -> Result<(), Error> {
    for used in storage_use::of_task(&change.conn(), id).await.db()? {
        if used.bytes > ByteSize::ZERO {
            let used = StorageUse { bytes: written.unwrap_or(used.bytes), ..used };
            storage_use::settle(&change.tx, &used, settles_at(change.now)).await.db()?;
        }
    }
    storage_use::release_unreserved(&change.tx, id).await.db()
}

/// Ends the reservations of a task that wrote nothing.
pub(crate) async fn release(change: &Change<'_>, id: TaskId) -> Result<(), Error> {
    storage_use::release(&change.tx, id).await.db()
}

/// Removes the reservations on a storage whose bytes show in every report: the oldest of them came
/// at `oldest_report`.
pub(crate) async fn reported(
    change: &Change<'_>,
    id: StorageId,
    oldest_report: Timestamp,
) -> Result<(), Error> {
    storage_use::remove_settled(&change.tx, id, oldest_report).await.db()
}

/// Removes what no report removed, such as on storages that report no free space.
pub(crate) async fn remove_old(change: &Change<'_>) -> Result<u64, Error> {
    storage_use::remove_settled_before(&change.tx, change.now - TimeDelta::seconds(KEPT_S)).await.db()
}
