//! Moves of images between storages: an image changes to its copy in one transaction, and the file
//! that is not used any more is removed when nothing reads it.

use imprint_agent_protocol::MoveResult;
use imprint_domain::{
    Error,
    id::{AccountId, HypervisorId, ImageId, RequestId, StorageId, TaskId},
    image::{ImageFormat, ImageStatus},
    size::ByteSize,
    task::{Task, TaskKind, TaskState},
};
use imprint_store::{
    Conn, hypervisor,
    image::{self, ImageRecord},
    task::{self, TaskRecord},
};

use crate::{
    change::Change,
    db_result::DbResult,
    storages::reservation,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
};

/// A file that is to be removed.
struct Unused {
    image_id: ImageId,
    storage_id: StorageId,
    key: String,
    format: ImageFormat,
}

/// Ends a move. An image that is still what was copied changes to its copy; of one that is being
/// removed meanwhile the copy goes as well.
pub(crate) async fn moved(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    result: &MoveResult,
) -> Result<(), Error> {
    let TaskPayload::Move { to, key } = TaskPayload::of(record)? else {
        return Err(Error::internal("a move without its target"));
    };
    let image_id = record.task.image_id.ok_or_else(|| Error::internal("a move without its image"))?;
    let found = image::get(&change.conn(), image_id).await.db()?;
    let unused = match found {
        Some(mut found) if is_copied(&found, result) => {
            let format = found.image.format;
            let unused = Unused {
                image_id,
                storage_id: found.image.storage_id,
                key: found.image.storage_key.clone(),
                format,
            };
            found.image.relocate(to, key)?;
            image::update(&change.tx, &found).await.db()?;
            change.image_changed(&found).await?;
            unused
        }
        Some(_) | None => Unused { image_id, storage_id: to, key, format: ImageFormat::Qcow2 },
    };
    remove(change, record, unused).await?;
    lifecycle::succeed(change, record).await
}

fn is_copied(found: &ImageRecord, result: &MoveResult) -> bool {
    let same = found
        .image
        .stored
        .as_ref()
        .is_some_and(|stored| stored.size == result.size && stored.stored_digest == result.stored_digest);
    same && found.image.status == ImageStatus::Available
}

/// Queues the removal of a file on the hypervisor that moved it, or where that has read the file
/// from another agent, on one that is bound to its storage.
async fn remove(change: &mut Change<'_>, by: &TaskRecord, unused: Unused) -> Result<(), Error> {
    let id = TaskId::new(change.service.new_uuid());
    let bound = hypervisor::of_storage(&change.conn(), unused.storage_id).await.db()?;
    let mover = bound.iter().find(|record| record.hypervisor.id == by.task.hypervisor_id);
    let online = || bound.iter().find(|record| record.hypervisor.is_online(change.now));
    let chosen = mover.or_else(online).or(bound.first());
    let new = NewTask {
        account_id: by.task.account_id,
        kind: TaskKind::ObjectDelete,
        image_id: Some(unused.image_id),
        instance_id: None,
        hypervisor_id: chosen.map_or(by.task.hypervisor_id, |record| record.hypervisor.id),
        payload: TaskPayload::Object {
            storage_id: unused.storage_id,
            key: unused.key,
            format: unused.format,
        },
        request_id: by.task.request_id,
    };
    let removal = lifecycle::new_task(change, id, new)?;
    lifecycle::queue(change, &removal).await?;
    reservation::reserve(change, id, unused.storage_id, ByteSize::ZERO).await
}

/// Returns whether a task that was given to an agent before may still read the file that a removal
/// is about: its assignment names the place where the image was then.
pub(crate) async fn is_read(conn: &Conn<'_>, removal: &Task) -> Result<bool, Error> {
    let Some(image) = removal.image_id else { return Ok(false) };
    let active = task::active_of_image(conn, image).await.db()?;
    Ok(active.iter().any(|record| {
        let task = &record.task;
        task.state == TaskState::Running && task.id < removal.id && task.kind != TaskKind::ObjectDelete
    }))
}

/// Stops the moves of an image: those that wait at once, the others through their agents.
pub(crate) async fn stop(change: &mut Change<'_>, moves: Vec<TaskRecord>) -> Result<(), Error> {
    for mut record in moves {
        match record.task.state {
            TaskState::Queued => lifecycle::cancel(change, &mut record).await?,
            TaskState::Running if !record.task.cancel_requested => {
                record.task.request_cancellation()?;
                lifecycle::save(change, &record).await?;
            }
            TaskState::Running | TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => {}
        }
    }
    Ok(())
}

/// Queues the move of an image to a storage, on a hypervisor that the storage is bound to, and that
/// reaches the image.
pub(crate) async fn queue(
    change: &mut Change<'_>,
    account_id: AccountId,
    image: &ImageRecord,
    (to, hypervisor_id): (StorageId, HypervisorId),
    bytes: ByteSize,
) -> Result<(), Error> {
    let image = &image.image;
    let id = TaskId::new(change.service.new_uuid());
    // Of its own, so that no removal of an earlier copy there can meet it.
    let suffix = id.uuid().simple().to_string();
    let key = format!("{}.{}.{}", image.id, &suffix[suffix.len() - 12..], image.format);
    let new = NewTask {
        account_id,
        kind: TaskKind::ImageMove,
        image_id: Some(image.id),
        instance_id: None,
        hypervisor_id,
        payload: TaskPayload::Move { to, key },
        request_id: RequestId::new(change.service.new_uuid()),
    };
    let record = lifecycle::new_task(change, id, new)?;
    lifecycle::queue(change, &record).await?;
    reservation::reserve(change, id, to, bytes).await?;
    reservation::reserve(change, id, image.storage_id, ByteSize::ZERO).await
}
