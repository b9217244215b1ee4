//! What the end of a task means for scans.

use imprint_domain::{Error, storage_scan::ScanState, task::TaskKind};
use imprint_store::{storage_scan, task::TaskRecord};

use crate::{change::Change, db_result::DbResult};

/// Ends the scan of a task that ended without success: what the last complete one found stays.
pub(crate) async fn ended(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    if record.task.kind != TaskKind::StorageScan {
        return Ok(());
    }
    let Some(mut scan) = storage_scan::get(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    scan.state = ScanState::Failed;
    scan.finished_at = Some(change.now);
    storage_scan::update(&change.tx, &scan).await.db()
}
