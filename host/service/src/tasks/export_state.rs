//! What a task means for its export: its assignment, and what is written when it ends.

use std::collections::BTreeMap;

use imprint_agent_protocol::{ExportImageAssignment, ExportResult, ImageRef, ObjectSource, StorageRef};
use imprint_domain::{
    Error,
    export::{Export, ExportPlace, ExportStatus},
    id::StorageId,
    image::Image,
    plugin_kind::StorageKind,
    task::{Task, TaskState},
    time::Timestamp,
};
use imprint_store::{export, storage, task::TaskRecord};
use serde::{Deserialize, Serialize};

use crate::{change::Change, db_result::DbResult, tasks::storage_ref::storage_ref};

/// A storage of the owner of an image. Its secrets are sealed in a table of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Destination {
    /// The kind of plugin. Renamed, as `kind` says which payload it is.
    #[serde(rename = "storage_kind")]
    pub(crate) kind: StorageKind,
    /// The settings, complete.
    pub(crate) settings: BTreeMap<String, String>,
}

/// Builds the agent's work.
pub(super) async fn assignment(
    change: &Change<'_>,
    task: &Task,
    (image, described): (ImageRef, &Image),
    source: Option<ObjectSource>,
    destination: Option<Destination>,
) -> Result<ExportImageAssignment, Error> {
    let found = export::of_task(&change.conn(), task.id).await.db()?;
    let found = found.ok_or_else(|| Error::not_found("export"))?;
    let is_destination = destination.is_some();
    let to = match (&found.place, destination) {
        (ExportPlace::Storage(id), None) => {
            let record = storage::get(&change.conn(), *id).await.db()?;
            storage_ref(&record.ok_or_else(|| Error::not_found("image storage"))?)
        }
        (ExportPlace::Destination(_), Some(destination)) => StorageRef {
            // It is not stored, and has no id; the task's is as good as any.
            id: StorageId::new(task.id.uuid()),
            kind: destination.kind,
            settings: destination.settings,
            secrets_version: 0,
            initialise: true,
        },
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
