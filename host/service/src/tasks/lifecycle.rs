//! The life of a task, step by step, each with what it means for its image and its instance. The
//! diagram is at [`imprint_domain::task::Task`].
//!
//! Every step is part of a [`Change`]: the task, its image, its instance and the events change
//! together or not at all.

use imprint_domain::{
    Code, Error,
    id::{AccountId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    image::ImageStatus,
    instance::{InstanceStatus, Power},
    iso::IsoStatus,
    size::ByteSize,
    task::{self as domain, OnFailure, OnSuccess, RetryPolicy, Task, TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
};
use imprint_store::{
    export,
    image::{self, ImageRecord},
    instance::{self, InstanceRecord},
    secret::of_task,
    task::{self, TaskRecord},
};
use tracing::warn;

use crate::{
    change::Change,
    db_result::DbResult,
    storages::{reservation, scan::state as scan_state},
    tasks::{capture_failure, devices, export_state, payload::TaskPayload},
};

/// A task to queue.
pub(crate) struct NewTask {
    pub(crate) account_id: AccountId,
    pub(crate) kind: TaskKind,
    pub(crate) image_id: Option<ImageId>,
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) hypervisor_id: HypervisorId,
    pub(crate) payload: TaskPayload,
    pub(crate) request_id: RequestId,
}

/// Builds a new record, which is not written yet.
pub(crate) fn new_task(change: &Change<'_>, id: TaskId, new: NewTask) -> Result<TaskRecord, Error> {
    let parts = domain::NewTask {
        id,
        account_id: new.account_id,
        kind: new.kind,
        image_id: new.image_id,
        instance_id: new.instance_id,
        hypervisor_id: new.hypervisor_id,
        request_id: new.request_id,
    };
    let payload = new.payload.to_json()?;
    Ok(TaskRecord { task: Task::new(parts, change.now), payload, change: 0, result: None })
}

/// Queues a new task.
pub(crate) async fn queue(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    task::insert(&change.tx, record).await.db()?;
    change.task_changed(record).await
}

/// Writes a task's row and its event.
pub(crate) async fn save(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    task::update(&change.tx, record).await.db()?;
    change.task_changed(record).await
}

/// Ends an attempt with an error: queues the next one, or ends the task.
pub(crate) async fn attempt_failed(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    error: TaskError,
    retry: RetryPolicy,
) -> Result<(), Error> {
    // The detail never reaches customers, so the log is where operators find it by the task's id.
    warn!(task = %record.task.id, code = error.code(), detail = error.operator_detail(), "an attempt failed");
    let error = capture_failure::explained(change, record, error, retry).await?;
    record.task.attempt_failed(error, retry, change.now)?;
    ended(change, record).await
}

/// Ends a task by request.
pub(crate) async fn cancel(change: &mut Change<'_>, record: &mut TaskRecord) -> Result<(), Error> {
    record.task.cancel(change.now)?;
    ended(change, record).await
}

/// Writes a task whose attempt ended without success, with what a final end means for its image or
/// instance.
async fn ended(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    change.queue_reordered(record);
    if record.task.state.is_final() {
        match record.task.kind.spec().on_failure {
            OnFailure::FailImage => fail_image(change, record).await?,
            OnFailure::LoseImage => lose_image(change, record).await?,
            OnFailure::KeepImage => set_removal_failed(change, record, true).await?,
            OnFailure::FailExport => export_state::failed(change, record).await?,
            OnFailure::FailIso => devices::set_status(change, record, IsoStatus::Error).await?,
            OnFailure::FailInstance => fail_instance(change, record).await?,
            OnFailure::Nothing => {}
        }
        remove_secrets(change, record).await?;
        end_reservations(change, record).await?;
        scan_state::ended(change, record).await?;
    }
    save(change, record).await
}

/// Removes the secrets of a test, of an import, or of a storage that was exported to.
async fn remove_secrets(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    if matches!(record.task.kind, TaskKind::StorageTest | TaskKind::ImageImport | TaskKind::ImageExport) {
        of_task::delete_all(&change.tx, record.task.id).await.db()?;
    }
    Ok(())
}

/// Ends what a task that did not succeed has reserved. What it may have written is removed by its
/// agent, which may take a while.
async fn end_reservations(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    if record.task.attempts == 0 {
        return reservation::release(change, record.task.id).await;
    }
    reservation::settle(change, record.task.id, None).await
}

/// Puts the image of a creation that failed in error. One that was cancelled is removed: there is
/// nothing to keep, and it was asked for.
async fn fail_image(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let Some(mut found) = image_of(change, record).await? else { return Ok(()) };
    if record.task.state == TaskState::Cancelled && found.image.status == ImageStatus::Creating {
        image::delete(&change.tx, found.image.id).await.db()?;
        return change.image_removed(found.image.account_id, found.image.id).await;
    }
    if found.image.fail().is_err() {
        return Ok(());
    }
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

/// Puts an image in error that was read again, if its file is gone or damaged. Other failures say
/// nothing about the file.
async fn lose_image(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let lost = [TaskErrorCode::ImageFileMissing, TaskErrorCode::ImageDamaged];
    if !record.task.error.as_ref().is_some_and(|error| lost.iter().any(|code| error.is(*code))) {
        return Ok(());
    }
    let Some(mut found) = image_of(change, record).await? else { return Ok(()) };
    if found.image.lose().is_err() {
        return Ok(());
    }
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

/// Says on an image how the last attempt to remove it ended.
async fn set_removal_failed(change: &mut Change<'_>, record: &TaskRecord, failed: bool) -> Result<(), Error> {
    let Some(mut found) = image_of(change, record).await? else { return Ok(()) };
    if found.image.removal_failed == failed || found.image.set_removal_failed(failed).is_err() {
        return Ok(());
    }
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

async fn fail_instance(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let Some(mut found) = instance_of(change, record).await? else { return Ok(()) };
    if found.instance.fail().is_err() {
        return Ok(());
    }
    instance::update(&change.tx, &found).await.db()?;
    change.instance_changed(&found).await
}

/// Reads the task's image, if there still is one.
pub(crate) async fn image_of(change: &Change<'_>, record: &TaskRecord) -> Result<Option<ImageRecord>, Error> {
    match record.task.image_id {
        Some(id) => image::get(&change.conn(), id).await.db(),
        None => Ok(None),
    }
}

/// Reads the task's instance, if there still is one.
pub(crate) async fn instance_of(
    change: &Change<'_>,
    record: &TaskRecord,
) -> Result<Option<InstanceRecord>, Error> {
    match record.task.instance_id {
        Some(id) => instance::get(&change.conn(), id).await.db(),
        None => Ok(None),
    }
}

/// Ends a task with success. What it created has been written by the caller; what it removed is
/// removed here.
pub(crate) async fn succeed(change: &mut Change<'_>, record: &mut TaskRecord) -> Result<(), Error> {
    record.task.succeed(change.now)?;
    record.payload = TaskPayload::Plain.to_json()?;
    match record.task.kind.spec().on_success {
        OnSuccess::Nothing => {}
        OnSuccess::RemoveImage => {
            if let Some(id) = record.task.image_id {
                image::delete(&change.tx, id).await.db()?;
                change.image_removed(record.task.account_id, id).await?;
            }
        }
        OnSuccess::RemoveInstance => {
            if let Some(id) = record.task.instance_id {
                instance::delete(&change.tx, id).await.db()?;
                change.instance_removed(record.task.account_id, id).await?;
            }
        }
        OnSuccess::SetPower(power) => set_power(change, record, power).await?,
    }
    remove_secrets(change, record).await?;
    let written = written(change, record).await?;
    reservation::settle(change, record.task.id, written).await?;
    change.queue_reordered(record);
    save(change, record).await
}

/// Returns the size of the file that a task has written, where it has.
async fn written(change: &Change<'_>, record: &TaskRecord) -> Result<Option<ByteSize>, Error> {
    if record.task.kind == TaskKind::ImageExport {
        let found = export::of_task(&change.conn(), record.task.id).await.db()?;
        return Ok(found.and_then(|found| found.stored.map(|stored| stored.size)));
    }
    let stored = image_of(change, record).await?;
    Ok(stored.and_then(|found| found.image.stored.as_ref().map(|stored| stored.size)))
}

async fn set_power(change: &mut Change<'_>, record: &TaskRecord, power: Power) -> Result<(), Error> {
    let Some(mut found) = instance_of(change, record).await? else { return Ok(()) };
    if found.instance.status != InstanceStatus::Ready {
        return Ok(());
    }
    found.instance.observe_power(power);
    instance::update(&change.tx, &found).await.db()?;
    change.instance_changed(&found).await
}

/// Queues a failed or cancelled task again, by request or because a deletion has to be completed.
pub(crate) async fn retry(change: &mut Change<'_>, record: &mut TaskRecord) -> Result<(), Error> {
    record.task.retry(change.now)?;
    if record.task.kind == TaskKind::ImageDelete {
        set_removal_failed(change, record, false).await?;
    }
    if record.task.kind == TaskKind::IsoRegister {
        devices::set_status(change, record, IsoStatus::Registering).await?;
    }
    save(change, record).await
}

/// Builds the error of a request that the current state does not allow.
pub(crate) fn invalid_transition(detail: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidTransition, detail)
}
