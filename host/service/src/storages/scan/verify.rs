//! Reading an image's file anew.

use imprint_domain::{
    Error,
    id::{AccountId, HypervisorId, RequestId, TaskId},
    size::ByteSize,
    task::TaskKind,
};
use imprint_store::{image::ImageRecord, task};

use crate::{
    change::Change,
    db_result::DbResult,
    storages::reservation,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
};

/// Has the file of an image read anew by a hypervisor's agent, unless a task works on the image.
/// Returns the task.
pub(super) async fn queue_verification(
    change: &mut Change<'_>,
    (account_id, request_id): (AccountId, RequestId),
    record: &ImageRecord,
    hypervisor_id: HypervisorId,
) -> Result<Option<TaskId>, Error> {
    let image = &record.image;
    if image.stored.is_none() || !task::active_of_image(&change.conn(), image.id).await.db()?.is_empty() {
        return Ok(None);
    }
    let id = TaskId::new(change.service.new_uuid());
    let new = NewTask {
        account_id,
        kind: TaskKind::ImageVerify,
        image_id: Some(image.id),
        instance_id: None,
        hypervisor_id,
        payload: TaskPayload::Plain,
        request_id,
    };
    let task = lifecycle::new_task(change, id, new)?;
    lifecycle::queue(change, &task).await?;
    reservation::reserve(change, id, image.storage_id, ByteSize::ZERO).await?;
    Ok(Some(id))
}
