//! The removal of exports: by request, when their time is over, and with their image.

use imprint_domain::{
    Error,
    export::{Export, ExportPlace},
    id::{RequestId, TaskId},
    size::ByteSize,
    task::TaskKind,
};
use imprint_store::{export, hypervisor};

use crate::{
    Service,
    change::Change,
    db_result::DbResult,
    storages::reservation,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
};

/// The number of exports that one run removes; the next run continues.
const BATCH: u32 = 100;

/// Removes an export that is not being made: its file with a task, and its row with that. What was
/// written to a storage of its owner is the owner's.
pub(super) async fn remove(
    change: &mut Change<'_>,
    mut found: Export,
    request_id: RequestId,
) -> Result<(), Error> {
    let ExportPlace::Storage(storage_id) = found.place else {
        export::delete(&change.tx, found.id).await.db()?;
        return change.export_removed(found.account_id, found.id).await;
    };
    let bound = hypervisor::of_storage(&change.conn(), storage_id).await.db()?;
    let online = bound.iter().find(|record| record.hypervisor.is_online(change.now));
    // Without one, the next run of the reconciler tries again.
    let Some(by) = online.or(bound.first()) else { return Ok(()) };
    let task_id = TaskId::new(change.service.new_uuid());
    found.remove(task_id)?;
    let new = NewTask {
        account_id: found.account_id,
        kind: TaskKind::ObjectDelete,
        image_id: Some(found.image_id),
        instance_id: None,
        hypervisor_id: by.hypervisor.id,
        payload: TaskPayload::Object { storage_id, key: found.key.clone(), format: found.form.format },
        request_id,
    };
    let task = lifecycle::new_task(change, task_id, new)?;
    export::update(&change.tx, &found).await.db()?;
    change.export_changed(found.account_id, found.id).await?;
    lifecycle::queue(change, &task).await?;
    reservation::reserve(change, task_id, storage_id, ByteSize::ZERO).await
}

impl Service {
    /// Removes exports whose time is over, or whose image is gone. Returns their number.
    pub(crate) async fn remove_exports(&self) -> Result<u32, Error> {
        if export::over(&self.read(), self.now(), 1).await.db()?.is_empty() {
            return Ok(0);
        }
        let mut change = Change::begin(self).await?;
        let over = export::over(&change.conn(), change.now, BATCH).await.db()?;
        let count = over.len();
        for found in over {
            let request_id = RequestId::new(self.new_uuid());
            remove(&mut change, found, request_id).await?;
        }
        change.commit().await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}
