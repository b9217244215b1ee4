//! What a task means for its export: its assignment, and what is written when it ends.

use imprint_agent_protocol::{ExportImageAssignment, ExportResult, ImageRef, ObjectSource};
use imprint_domain::{
    Error,
    export::{Export, ExportPlace, ExportStatus},
    image::Image,
    task::{Task, TaskState},
    time::Timestamp,
};
use imprint_store::{export, storage, task::TaskRecord};

use crate::{
    change::Change,
    db_result::DbResult,
    tasks::{owned_storage::OwnedStorage, storage_ref::storage_ref},
};

/// Builds the agent's work.
pub(super) async fn assignment(
    change: &Change<'_>,
    task: &Task,
    (image, described): (ImageRef, &Image),
    source: Option<ObjectSource>,
    destination: Option<OwnedStorage>,
) -> Result<ExportImageAssignment, Error> {
    let found = export::of_task(&change.conn(), task.id).await.db()?;
    let found = found.ok_or_else(|| Error::not_found("export"))?;
    let is_destination = destination.is_some();
    let to = match (&found.place, destination) {
        (ExportPlace::Storage(id), None) => {
            let record = storage::get(&change.conn(), *id).await.db()?;
            storage_ref(&record.ok_or_else(|| Error::not_found("image storage"))?)
        }
        (ExportPlace::Destination(_), Some(destination)) => destination.of_task(task.id),
        (ExportPlace::Storage(_), Some(_)) | (ExportPlace::Destination(_), None) => {
            return Err(Error::internal("an export to two places, or to none"));
        }
    };
    Ok(ExportImageAssignment {
        image,
        source,
        name: described.name.to_string(),
        logical_digest: found.logical_digest,
        form: found.form,
        to,
        key: found.key,
        is_destination,
    })
}

/// Takes over that the file of an export is complete, and is kept until a time.
pub(super) async fn exported(
    change: &mut Change<'_>,
    record: &TaskRecord,
    result: ExportResult,
    until: Timestamp,
) -> Result<(), Error> {
    let Some(mut found) = export::of_task(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    if found.publish(result.stored, change.now, until).is_err() {
        return Ok(());
    }
    save(change, &found).await
}

/// Takes over that the file of an export could not be written. One that was cancelled is removed:
/// there is nothing to keep, and it was asked for.
pub(super) async fn failed(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let Some(mut found) = export::of_task(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    if found.status == ExportStatus::Creating && record.task.state == TaskState::Cancelled {
        return drop_row(change, &found).await;
    }
    if found.fail().is_err() {
        return Ok(());
    }
    save(change, &found).await
}

/// Takes over that the file of an export was removed, if that is what a task did.
pub(super) async fn removed(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let found = export::of_task(&change.conn(), record.task.id).await.db()?;
    let Some(found) = found.filter(|found| found.status == ExportStatus::Deleting) else { return Ok(()) };
    drop_row(change, &found).await
}

async fn save(change: &mut Change<'_>, export: &Export) -> Result<(), Error> {
    export::update(&change.tx, export).await.db()?;
    change.export_changed(export.account_id, export.id).await
}

async fn drop_row(change: &mut Change<'_>, export: &Export) -> Result<(), Error> {
    export::delete(&change.tx, export.id).await.db()?;
    change.export_removed(export.account_id, export.id).await
}
