//! Images: capture, list, show, rename, delete; stock images for admins.

use imprint_domain::{
    Code, Error,
    capture_format::CaptureFormat,
    consistency::Consistency,
    id::{HypervisorId, ImageId, InstanceId, LocationId, StorageId, TaskId},
    image::{Compression, ImageEdit, ImageKind, ImageStatus},
    name::Name,
    search::Search,
    tag::{Tag, Tags},
    task::{TaskKind, TaskState},
    time::Timestamp,
    windows::CaptureNotice,
};
use imprint_store::{
    Conn, StoreError, hypervisor,
    image::{self, ImageRecord},
    task::{self, TaskRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, PageRequest, Service, TaskView,
    catalogue::offer,
    change::Change,
    db_result::{DbResult, db_error},
    images::view::{ImageView, of_account, view},
    sharing::{
        end,
        permission::{self, Permission},
    },
    tasks::{
        lifecycle::{self, NewTask, invalid_transition},
        moves,
        payload::TaskPayload,
        task::{Audience, view as task_view},
    },
    validate::check_description,
};

/// An image and the task that works on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTask {
    /// The image.
    pub image: ImageView,
    /// The task.
    pub task: TaskView,
    /// What one has to know about the image.
    #[serde(default)]
    pub notices: Vec<CaptureNotice>,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// The consistency that a capture has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyRequirement {
    /// The level to aim for.
    pub want: Consistency,
    /// The weakest level that is a success (X11).
    pub minimum: Consistency,
}

/// A request to capture an instance's primary disk.
#[derive(Clone, Debug)]
pub struct CaptureCreate {
    /// The instance to capture.
    pub instance_id: InstanceId,
    /// The image's name.
    pub name: Name,
    /// Human-readable text; at most 1024 characters.
    pub description: String,
    /// The tags of the image.
    pub tags: Tags,
    /// The format of the file; `None` takes the location's (S20).
    pub format: Option<CaptureFormat>,
    /// The encoding of stored clusters; `None` takes zstd where the format has it.
    pub compression: Option<Compression>,
    /// `None` aims for `application` and accepts `crash`.
    pub consistency: Option<ConsistencyRequirement>,
    /// The storage that takes it; `None` chooses one. Only for admins.
    pub storage_id: Option<StorageId>,
    /// Whether it is a domain controller of Windows, which is refused (S35).
    pub domain_controller: Option<bool>,
}

/// The owners of the images to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageScope {
    /// The account's own captured images: My Images.
    #[default]
    Own,
    /// The operator's stock images.
    Stock,
    /// The images of other accounts that are shared with the account.
    Shared,
    /// All of these; for admins the images of all accounts.
    All,
}

/// The property to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageSortField {
    /// When it was requested.
    #[default]
    CreatedAt,
    /// The name.
    Name,
    /// The size; images without one come first.
    SizeBytes,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSort {
    /// The property to sort by.
    pub field: ImageSortField,
    /// Whether the largest or latest comes first.
    pub descending: bool,
}

impl Default for ImageSort {
    fn default() -> Self {
        Self { field: ImageSortField::CreatedAt, descending: true }
    }
}

/// The most images that a list may name by their ids.
pub const MAX_IDS: usize = 100;

/// The images to list, and their order.
#[derive(Clone, Debug, Default)]
pub struct ImageList {
    /// The owners.
    pub scope: ImageScope,
    /// Only these, if any are named; at most [`MAX_IDS`].
    pub ids: Option<Vec<ImageId>>,
    /// What name, description, name of the source instance or tags have to contain.
    pub search: Option<Search>,
    /// The tags that an image has to have, all of them; at most 32.
    pub tags: Vec<Tag>,
    /// The accepted states; empty accepts all.
    pub status: Vec<ImageStatus>,
    /// The origin, if only one is listed.
    pub kind: Option<ImageKind>,
    /// The instance that they were captured from, if only its images are listed.
    pub source_instance_id: Option<InstanceId>,
    /// The location, if only one is listed.
    pub location_id: Option<LocationId>,
    /// The storage, if only its images are listed. Only for admins.
    pub storage_id: Option<StorageId>,
    /// The order of the list.
    pub sort: ImageSort,
    /// The page to return.
    pub page: PageRequest,
}

/// Reads an image that the actor may deploy: its own, a stock image that it is offered, one that is
/// shared with it, or any image for an admin.
pub(crate) async fn visible(
    conn: &Conn<'_>,
    op: &Op,
    id: ImageId,
    now: Timestamp,
) -> Result<(ImageRecord, Option<Permission>), Error> {
    let found = image::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("image"))?;
    let permission = permission::read(conn, &found.image, op.account_id(), now).await?;
    let sees = match found.image.kind {
        ImageKind::Stock => op.is_admin() || offer::is_offered(conn, &found.image).await?,
        ImageKind::Custom => op.sees(found.image.account_id),
    };
    if sees || permission.is_some() { Ok((found, permission)) } else { Err(Error::not_found("image")) }
}

/// Reads an image that the actor may change and whose version is the one that the client saw.
pub(crate) async fn load_for_update(
    conn: &Conn<'_>,
    op: &Op,
    id: ImageId,
    if_match: Option<u32>,
    now: Timestamp,
) -> Result<ImageRecord, Error> {
    let (record, permission) = visible(conn, op, id, now).await?;
    match record.image.kind {
        ImageKind::Stock => op.require_admin()?,
        ImageKind::Custom if permission.is_some() && !op.sees(record.image.account_id) => {
            return Err(permission::owner_only());
        }
        ImageKind::Custom => {}
    }
    let version = record.image.version;
    if if_match.is_some_and(|seen| seen != version) {
        return Err(Error::new(Code::PreconditionFailed, "read the image again, then repeat the change")
            .with("version", version));
    }
    Ok(record)
}

/// A hypervisor that can reach a storage: one owner agent is there, if possible.
pub(crate) async fn hypervisor_reaching_storage(
    change: &Change<'_>,
    id: StorageId,
) -> Result<HypervisorId, Error> {
    let bound = hypervisor::of_storage(&change.conn(), id).await.db()?;
    let chosen = bound
        .iter()
        .find(|record| record.hypervisor.is_online(change.now))
        .or_else(|| bound.first())
        .ok_or_else(|| {
            Error::new(Code::NoImageStorageBound, "bind the image storage to a hypervisor that can reach it")
        })?;
    Ok(chosen.hypervisor.id)
}

impl Service {
    /// Returns one image that is visible to the actor.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// not visible; an error of the database.
    pub async fn image_show(&self, op: &Op, id: ImageId) -> Result<ImageView, Error> {
        op.require_read()?;
        let (conn, now) = (self.read(), self.now());
        let found = image::get(&conn, id).await.db()?.ok_or_else(|| Error::not_found("image"))?;
        let seen = of_account(&conn, &found, op.account_id(), Audience::of(op), now).await?;
        seen.ok_or_else(|| Error::not_found("image"))
    }

    /// Changes name, description, tags, metadata, delete protection or what its system is.
    /// `if_match` is the version that the client saw; `precondition_failed` when it is stale.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// not visible; [`Code::PreconditionFailed`] for a stale version; [`Code::InvalidRequest`];
    /// [`Code::InvalidTransition`] when an image is to be protected that is being removed; an error
    /// of the database.
    pub async fn image_update(
        &self,
        op: &Op,
        id: ImageId,
        patch: ImageEdit,
        if_match: Option<u32>,
    ) -> Result<ImageView, Error> {
        op.require_write()?;
        patch.description.as_deref().map_or(Ok(()), check_description)?;
        let mut change = Change::begin(self).await?;
        let record = load_for_update(&change.conn(), op, id, if_match, change.now).await?;
        let answer = edit(&mut change, op, record, patch).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Deletes an image: its slot is free at once, its file goes with the task (S59 to S62, D8).
    /// A second deletion returns the task of the first, and tries again what has failed. Of a stock
    /// image only the entry goes: its file belongs to the operator.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// not visible; [`Code::PreconditionFailed`] for a stale version; [`Code::ImageProtected`];
    /// [`Code::InvalidTransition`] when the state does not allow it; an error of the database.
    pub async fn image_delete(
        &self,
        op: &Op,
        id: ImageId,
        if_match: Option<u32>,
    ) -> Result<ImageTask, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        if let Some(mut task) = deletion(&change, op, id).await? {
            if task.task.state == TaskState::Failed {
                lifecycle::retry(&mut change, &mut task).await?;
                change.audit(op, "image.delete", id).await?;
            }
            let record = load_for_update(&change.conn(), op, id, None, change.now).await?;
            let task = task_view(&change.conn(), &task, change.now).await?;
            let image = view(&change.conn(), op, &record).await?;
            change.commit().await?;
            return Ok(ImageTask { image, task, notices: Vec::new(), replayed: true });
        }
        let mut record = load_for_update(&change.conn(), op, id, if_match, change.now).await?;
        record.image.require_unprotected()?;
        if !record.image.status.may_become(ImageStatus::Deleting) {
            return Err(invalid_transition(format!(
                "the image is {}; cancel its task first",
                record.image.status
            )));
        }
        let active = task::active_of_image(&change.conn(), id).await.db()?;
        if active.iter().any(|active| !active.task.kind.spec().background) {
            return Err(Error::new(Code::ImageInUse, "a task uses it; wait until that is over"));
        }
        let is_move = |active: &TaskRecord| active.task.kind == TaskKind::ImageMove;
        moves::stop(&mut change, active.into_iter().filter(is_move).collect()).await?;
        let task_id = TaskId::new(self.new_uuid());
        let new = NewTask {
            account_id: record.image.account_id,
            kind: TaskKind::ImageDelete,
            image_id: Some(id),
            instance_id: None,
            hypervisor_id: hypervisor_reaching_storage(&change, record.image.storage_id).await?,
            payload: TaskPayload::Plain,
            request_id: op.request_id,
        };
        let mut task = lifecycle::new_task(&change, task_id, new)?;
        record.image.delete(task_id)?;
        image::update(&change.tx, &record).await.db()?;
        end::of_image(&mut change, id).await?;
        change.image_changed(&record).await?;
        lifecycle::queue(&mut change, &task).await?;
        match record.image.kind {
            ImageKind::Custom => {}
            ImageKind::Stock => lifecycle::succeed(&mut change, &mut task).await?,
        }
        change.audit(op, "image.delete", id).await?;
        let task = task_view(&change.conn(), &task, change.now).await?;
        let image = view(&change.conn(), op, &record).await?;
        change.commit().await?;
        Ok(ImageTask { image, task, notices: Vec::new(), replayed: false })
    }
}

/// Changes an image, and writes the change.
pub(crate) async fn edit(
    change: &mut Change<'_>,
    op: &Op,
    mut record: ImageRecord,
    edit: ImageEdit,
) -> Result<ImageView, Error> {
    record.image.edit(edit)?;
    image::update(&change.tx, &record).await.map_err(version_taken)?;
    change.image_changed(&record).await?;
    change.audit(op, "image.update", record.image.id).await?;
    view(&change.conn(), op, &record).await
}

/// Maps the failure of a change whose version may be another image's.
pub(crate) fn version_taken(error: StoreError) -> Error {
    match error {
        StoreError::Duplicate(_) => {
            let detail =
                "another image is this version of the family in the location; give a version of its own";
            Error::new(Code::NameTaken, detail).at("/family_version")
        }
        StoreError::Database(_) | StoreError::Corrupt { .. } | StoreError::File(_) => db_error(&error),
    }
}

/// Returns the task of an image that is being deleted already.
async fn deletion(change: &Change<'_>, op: &Op, id: ImageId) -> Result<Option<TaskRecord>, Error> {
    let record = load_for_update(&change.conn(), op, id, None, change.now).await?;
    match (record.image.status, record.image.task_id) {
        (ImageStatus::Deleting, Some(task_id)) => task::get(&change.conn(), task_id).await.db(),
        _ => Ok(None),
    }
}
