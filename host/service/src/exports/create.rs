//! Asking for an export: the rules, the room, the export and its task, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    export::{
        DESTINATION_KINDS, Export, ExportForm, ExportPlace, ExportStatus, require_export, require_turn,
    },
    id::{ExportId, HypervisorId, ImageId, TaskId},
    image::{Image, ImageKind},
    plugin_kind::StorageKind,
    secret::Secrets,
    task::TaskKind,
};
use imprint_store::{StoreError, export, secret::of_task, storage_kind as kinds, task};
use serde::{Deserialize, Serialize};

use crate::{
    ExportView, Op, Service, TaskView,
    catalogue::{location, storage_kind},
    change::Change,
    db_result::{DbResult, db_error},
    exports::{exportable, owner, place, remove, view::view},
    idempotency,
    secrets::seal,
    storages::reservation,
    tasks::{
        lifecycle::{self, NewTask},
        owned_storage::OwnedStorage,
        payload::TaskPayload,
        task::view as task_view,
    },
    validate::is_object_key,
};

/// The setting by which a storage says that it is in a private network.
const PRIVATE_NETWORKS: &str = "private-networks";

/// A request for an export.
#[derive(Clone, Debug)]
pub struct ExportCreate {
    /// What the file is like.
    pub form: ExportForm,
    /// A storage of its owner that the file is written to; `None` for a download.
    pub destination: Option<DestinationCreate>,
}

/// A storage of the owner of an image.
#[derive(Clone, Debug)]
pub struct DestinationCreate {
    /// The kind of plugin that reaches it: one of [`DESTINATION_KINDS`].
    pub kind: StorageKind,
    /// The plugin's settings.
    pub settings: BTreeMap<String, String>,
    /// The plugin's secrets. They are stored sealed, and removed when the task ends.
    pub secrets: Secrets,
    /// The key of the file there; `None` takes the name of the file.
    pub key: Option<String>,
}

/// An export and the task that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportTask {
    /// The export.
    pub export: ExportView,
    /// The task.
    pub task: TaskView,
    /// Whether it was there already, or is being made for an earlier request.
    #[serde(default)]
    pub found: bool,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// Where an export goes, and by which hypervisor's agent.
struct Target {
    place: ExportPlace,
    key: String,
    hypervisor_id: HypervisorId,
    destination: Option<OwnedStorage>,
}

impl Service {
    /// Asks for an export of an image. One that is there, or that is being made, is not made again:
    /// it is kept longer. For the image's owner; exports of stock images are for admins.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for an image that is shared with the account;
    /// [`Code::NotFound`] for what does not exist or is not visible; [`Code::ExportDisabled`];
    /// [`Code::ImageNotAvailable`]; [`Code::ExportLimitReached`]; [`Code::InvalidRequest`] for a
    /// destination that is wrong or not permitted; [`Code::InsufficientStorage`] and the other
    /// codes of the choice of a storage; [`Code::HypervisorOffline`]; [`Code::ResourceInUse`]; an
    /// error of the database.
    pub async fn export_create(
        &self,
        op: &Op,
        image_id: ImageId,
        request: ExportCreate,
    ) -> Result<ExportTask, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ExportTask { replayed: true, ..stored });
        }
        let record = exportable(self, &change.conn(), op, image_id).await?;
        let image = &record.image;
        if image.kind == ImageKind::Custom {
            require_export(&location::get(&change.conn(), image.location_id).await?.location)?;
        }
        image.require_available()?;
        let answer = match self.made(&mut change, op, image, &request).await? {
            Some(found) => found,
            None => self.make(&mut change, op, image, request).await?,
        };
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Returns the export that was asked for, if there is one, and keeps it longer.
    async fn made(
        &self,
        change: &mut Change<'_>,
        op: &Op,
        image: &Image,
        request: &ExportCreate,
    ) -> Result<Option<ExportTask>, Error> {
        if request.destination.is_some() {
            return Ok(None);
        }
        let Some(mut found) = export::made(&change.conn(), image.id, request.form).await.db()? else {
            return Ok(None);
        };
        if found.status == ExportStatus::Available {
            if !found.is_available(change.now) {
                remove::remove(change, found, op.request_id).await?;
                return Ok(None);
            }
            found.expires_at = self.kept_until(change);
            export::update(&change.tx, &found).await.db()?;
            change.export_changed(found.account_id, found.id).await?;
        }
        let made_by = task::get(&change.conn(), found.task_id).await.db()?;
        let made_by = made_by.ok_or_else(|| Error::internal("an export without its task"))?;
        let task = task_view(&change.conn(), &made_by, change.now).await?;
        Ok(Some(ExportTask { export: view(&found, image), task, found: true, replayed: false }))
    }

    fn kept_until(&self, change: &Change<'_>) -> imprint_domain::time::Timestamp {
        change.now + TimeDelta::hours(self.settings().export_kept_h.into())
    }

    async fn make(
        &self,
        change: &mut Change<'_>,
        op: &Op,
        image: &Image,
        request: ExportCreate,
    ) -> Result<ExportTask, Error> {
        let account_id = owner(op, image);
        let creating = export::count_creating(&change.conn(), account_id).await.db()?;
        require_turn(creating, self.settings().export_limit)?;
        let (id, task_id) = (ExportId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let stored = image.require_available()?;
        let bytes = request.form.largest(stored.virtual_size);
        let (target, secrets) = match request.destination {
            None => {
                let (storage_id, hypervisor_id) =
                    place::choose(&change.conn(), image, bytes, change.now).await?;
                let place = ExportPlace::Storage(storage_id);
                let key = format!("{id}.{}", request.form.format);
                (Target { place, key, hypervisor_id, destination: None }, Secrets::new())
            }
            Some(asked) => self.to_destination(change, op, image, request.form, asked).await?,
        };
        let made = Export {
            id,
            account_id,
            image_id: image.id,
            location_id: image.location_id,
            place: target.place.clone(),
            key: target.key,
            form: request.form,
            status: ExportStatus::Creating,
            stored: None,
            virtual_size: stored.virtual_size,
            logical_digest: stored.logical_digest.clone(),
            task_id,
            created_at: change.now,
            available_at: None,
            expires_at: self.kept_until(change),
        };
        let new = NewTask {
            account_id,
            kind: TaskKind::ImageExport,
            image_id: Some(image.id),
            instance_id: None,
            hypervisor_id: target.hypervisor_id,
            payload: TaskPayload::Export { export_id: id, destination: target.destination },
            request_id: op.request_id,
        };
        let queued = lifecycle::new_task(change, task_id, new)?;
        export::insert(&change.tx, &made).await.map_err(|error| still_there(&error))?;
        change.export_changed(account_id, id).await?;
        lifecycle::queue(change, &queued).await?;
        for (name, secret) in &secrets {
            let sealed = seal::seal(change, &task_id, name, secret)?;
            of_task::put(&change.tx, task_id, &sealed).await.db()?;
        }
        if let ExportPlace::Storage(storage_id) = target.place {
            reservation::reserve(change, task_id, storage_id, bytes).await?;
        }
        change.audit(op, "export.create", id).await?;
        let task = task_view(&change.conn(), &queued, change.now).await?;
        Ok(ExportTask { export: view(&made, image), task, found: false, replayed: false })
    }

    /// Checks the storage that the owner of an image names.
    async fn to_destination(
        &self,
        change: &Change<'_>,
        op: &Op,
        image: &Image,
        form: ExportForm,
        asked: DestinationCreate,
    ) -> Result<(Target, Secrets), Error> {
        let invalid = |detail: &str, at: &str| Error::new(Code::InvalidRequest, detail).at(at);
        let kind = asked.kind;
        if !DESTINATION_KINDS.contains(&kind.as_str()) {
            let detail = format!("exports go to storages of the kinds {}", DESTINATION_KINDS.join(" and "));
            return Err(invalid(&detail, "/destination/kind"));
        }
        let key = asked.key.unwrap_or_else(|| form.file_name(image.name.as_str()));
        if !is_object_key(&key) {
            let detail = "the key has 1 to 512 bytes, no control characters, and parts between `/` that are neither empty nor `.` or `..`";
            return Err(invalid(detail, "/destination/key"));
        }
        let (conn, kept) = (change.conn(), BTreeSet::new());
        let checked = storage_kind::check_settings(&conn, &kind, &asked.settings, &asked.secrets, &kept);
        let settings = checked.await.map_err(|error| match error.pointer.clone() {
            Some(pointer) => error.at(format!("/destination{pointer}")),
            None => error,
        })?;
        let is_private = settings.get(PRIVATE_NETWORKS).is_some_and(|value| value == "true");
        if is_private && !op.is_admin() && !self.settings().export_to_private_networks {
            let detail = "the provider does not permit exports to addresses of private networks; leave the setting out";
            return Err(invalid(detail, "/destination/settings/private-networks"));
        }
        let hypervisor_id = place::reader(&change.conn(), image, change.now).await?;
        let on = kinds::of_kind(&change.conn(), &kind).await.db()?;
        if on.iter().all(|record| record.hypervisor_id != hypervisor_id) {
            let detail = format!(
                "the image's hypervisor has no plugin for storages of the kind `{kind}`; ask the provider"
            );
            return Err(invalid(&detail, "/destination/kind"));
        }
        let place = ExportPlace::Destination(kind.clone());
        let destination = Some(OwnedStorage { kind, settings });
        Ok((Target { place, key, hypervisor_id, destination }, asked.secrets))
    }
}

/// Maps the failure of an insertion: an export that is over is still there where no hypervisor
/// reaches its storage, so that no agent can remove its file.
fn still_there(error: &StoreError) -> Error {
    match error {
        StoreError::Duplicate(_) => {
            let detail = "the export before cannot be removed yet; ask the provider to bind its storage to a hypervisor";
            Error::new(Code::ResourceInUse, detail)
        }
        StoreError::Database(_) | StoreError::Corrupt { .. } | StoreError::File(_) => db_error(error),
    }
}
