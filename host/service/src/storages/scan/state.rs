//! What the end of a task means for scans.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    id::StorageId,
    storage_scan::{QUARANTINE_DAYS, ScanState},
    task::TaskKind,
};
use imprint_store::{storage_scan, task::TaskRecord};

use super::compare::compare_keys;
use crate::{change::Change, db_result::DbResult, tasks::payload::TaskPayload};

/// The time after which quarantined objects are removed again that could not be, in days.
const PAUSE_DAYS: i64 = 1;

/// Settles what a task has left that ended without success. What the last complete scan found
/// stays; objects that should have been removed are again what they were. Comes after the end of
/// the task's reservations: until then it holds its objects.
pub(crate) async fn ended(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    if record.task.kind == TaskKind::StorageClean {
        let TaskPayload::Clean { storage_id, keys } = TaskPayload::of(record)? else {
            return Err(Error::internal("a removal of objects without their keys"));
        };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        compare_keys(change, storage_id, &keys).await?;
        return keep_quarantined(change, storage_id, &keys).await;
    }
    if record.task.kind != TaskKind::StorageScan {
        return Ok(());
    }
    let Some(mut scan) = storage_scan::get(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    scan.state = ScanState::Failed;
    scan.finished_at = Some(change.now);
    storage_scan::update(&change.tx, &scan).await.db()
}

/// Puts the end of a quarantine off that should have ended with a removal: a storage that refuses
/// it is not asked again at every run.
async fn keep_quarantined(change: &Change<'_>, id: StorageId, keys: &[&str]) -> Result<(), Error> {
    let since = change.now - TimeDelta::days(QUARANTINE_DAYS - PAUSE_DAYS);
    let found = storage_scan::objects_of_keys(&change.conn(), id, keys).await.db()?;
    let mut kept: Vec<_> = found.into_values().collect();
    kept.retain(|object| object.quarantined_at.is_some_and(|at| at < since));
    for object in &mut kept {
        object.quarantined_at = Some(since);
    }
    storage_scan::put_objects(&change.tx, &kept).await.db()
}
