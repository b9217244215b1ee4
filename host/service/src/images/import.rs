//! Importing: the rules, the slot, the image and its task, in one transaction (S74 to S80, D6).
//!
//! The task exists from the request on, also while a client still uploads: it is cancelled, shown
//! and taken up again after a crash like any other. Its agent receives the file.

pub(crate) mod source;

use imprint_agent_protocol::{FileDigest, ObjectServer, ReserveRequest, ReserveResponse, UploadGrant};
use imprint_domain::{
    Code, Error,
    id::{HypervisorId, ImageId, LocationId, TaskId},
    image::{
        Image, ImageFormat, ImageKind, NewImage,
        catalogue::{CatalogueEntry, GuestSystem},
    },
    import::{ImageImport, ImportKind},
    limits::Quota,
    location::Location,
    metadata::Metadata,
    name::Name,
    plugin_kind::StorageKind,
    rules::stored_upper_bound,
    secret::SecretText,
    size::ByteSize,
    storage::{Candidate, StorageRole, choose},
    tag::Tags,
    task::{TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
    time::Timestamp,
};
use imprint_store::{
    Conn,
    hypervisor::{self, HypervisorRecord},
    image::{self, CaptureNotes, ImageRecord},
    image_import, location as locations, storage_kind as kinds,
    task::{self, TaskRecord},
};

use crate::{
    ImageTask, Op, Service,
    auth::account,
    billing::budgets,
    catalogue::location,
    change::Change,
    db_result::DbResult,
    idempotency,
    images::created,
    objects,
    storages::{candidates, reservation},
    tasks::{
        lifecycle::{self, NewTask},
        owned_storage::SourceObject,
        payload::TaskPayload,
    },
    validate::check_description,
};

use self::source::{Checked, ImportFrom, check, seal_source};

/// The bytes of a file beyond the largest disk that is imported.
const BEYOND_DISK: ByteSize = ByteSize::GIB;
/// How long a token for an upload is valid, in seconds. A request that runs continues.
const TOKEN_S: i64 = 15 * 60;

/// A request to import a disk.
#[derive(Clone, Debug)]
pub struct ImportCreate {
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The tags of the image.
    pub tags: Tags,
    /// The location where it can be used.
    pub location_id: LocationId,
    /// Where the file comes from.
    pub source: ImportFrom,
    /// The format that the file has; `None` takes what it shows.
    pub format: Option<ImageFormat>,
    /// The size of the file in bytes; `None` where it is not known before.
    pub size: Option<ByteSize>,
    /// The digest that the file has to have.
    pub digest: Option<FileDigest>,
    /// Whether it becomes a stock image; for admins only.
    pub stock: bool,
}

/// Where an upload goes: the agent that receives it, and the permission to send it.
#[derive(Clone, Debug)]
pub struct UploadTarget {
    /// The agent's object server.
    pub server: ObjectServer,
    /// The token.
    pub token: SecretText,
    /// The task that receives it.
    pub task_id: TaskId,
}

/// The state of an upload without asking its agent.
#[derive(Clone, Debug)]
pub struct UploadView {
    /// The image that is made of it.
    pub image_id: ImageId,
    /// The task that receives it.
    pub task_id: TaskId,
    /// The size of the file in bytes.
    pub size: ByteSize,
    /// The agent; `None` while none receives the file: its task waits, or an agent restarts.
    pub target: Option<UploadTarget>,
    /// Whether every byte has arrived.
    pub complete: bool,
}

impl Service {
    /// Imports a disk: reserves a slot and room on a storage, and queues the task, in one
    /// transaction (S126, X7).
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for stock images unless the actor is an admin;
    /// [`Code::ImportDisabled`]; [`Code::NotFound`] for an unknown location;
    /// [`Code::InvalidRequest`]; [`Code::ImageLimitReached`] and
    /// [`Code::ImageBytesLimitReached`]; [`Code::NoImageStorageBound`],
    /// [`Code::StorageUnavailable`], [`Code::InsufficientStorage`], [`Code::HypervisorOffline`] and
    /// [`Code::ObjectsNotServed`] where nothing takes the file; an error of the database.
    pub async fn image_import(&self, op: &Op, request: ImportCreate) -> Result<ImageTask, Error> {
        op.require_write()?;
        if request.stock {
            op.require_admin().map_err(|error| error.at("/stock"))?;
        }
        check_description(&request.description)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ImageTask { replayed: true, ..stored });
        }
        let found = location::get(&change.conn(), request.location_id).await;
        let location = found.map_err(|error| error.at("/location_id"))?.location;
        if !op.is_admin() {
            location.import.require_enabled()?;
        }
        check_size(&location, &request)?;
        let Checked { kind, origin, object, elsewhere } = check(&change.conn(), &request.source).await?;
        let reserve = stored_upper_bound(request.size.unwrap_or(ByteSize::ZERO));
        let role = if request.stock { StorageRole::Stock } else { StorageRole::Customer };
        if !request.stock {
            let quota = quota(&change.conn(), op, &location).await?;
            quota.reserve(reserve)?;
            budgets::require(self, &change.conn(), op.account_id(), change.now).await?;
        }
        let needs = Needs::of(&change.conn(), kind, object.as_ref()).await?;
        let (storage_id, hypervisor_id) =
            place(&change.conn(), &location, role, reserve, (&needs, change.now)).await?;
        let (image_id, task_id) = (ImageId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let new = NewTask {
            account_id: op.account_id(),
            kind: TaskKind::ImageImport,
            image_id: Some(image_id),
            instance_id: None,
            hypervisor_id,
            payload: TaskPayload::Import {
                upload: kind == ImportKind::Upload,
                object,
                elsewhere,
                declared: request.format,
                size: request.size,
                expected: request.digest.clone(),
            },
            request_id: op.request_id,
        };
        let task = lifecycle::new_task(&change, task_id, new)?;
        let import = ImageImport { image_id, source: kind, origin, announced: request.size, file: None };
        let source = request.source.clone();
        let record = imported(&change, op, &location, request, (image_id, task_id), (storage_id, reserve));
        image::insert(&change.tx, &record).await.db()?;
        image_import::insert(&change.tx, &import).await.db()?;
        change.image_changed(&record).await?;
        lifecycle::queue(&mut change, &task).await?;
        seal_source(&change, task_id, &source).await?;
        reservation::reserve(&change, task_id, storage_id, reserve).await?;
        change.audit(op, "image.import", image_id).await?;
        created::answer(change, op, &record, &task, Vec::new()).await
    }

    /// Returns where the upload of an image goes, for its owner.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for an image that is not visible,
    /// and for one that is not uploaded; [`Code::InvalidTransition`] when the import has failed or
    /// was cancelled; an error of the database.
    pub async fn image_upload(&self, op: &Op, id: ImageId) -> Result<UploadView, Error> {
        op.require_write()?;
        let (conn, now) = (self.read(), self.now());
        let not_found = || Error::not_found("upload");
        let record = image::get(&conn, id).await.db()?.ok_or_else(not_found)?;
        if record.image.account_id != op.account_id() && !op.is_admin() {
            return Err(not_found());
        }
        let import = image_import::get(&conn, id).await.db()?.ok_or_else(not_found)?;
        let (Some(size), ImportKind::Upload) = (import.announced, import.source) else {
            return Err(not_found());
        };
        let task_id = record.image.task_id.ok_or_else(not_found)?;
        let task = task::get(&conn, task_id).await.db()?.ok_or_else(not_found)?;
        let (image_id, complete) = (id, record.image.stored.is_some());
        if task.task.kind != TaskKind::ImageImport || complete {
            return Ok(UploadView { image_id, task_id, size, target: None, complete: true });
        }
        match task.task.state {
            TaskState::Queued | TaskState::Running => {}
            TaskState::Succeeded => {
                return Ok(UploadView { image_id, task_id, size, target: None, complete: true });
            }
            TaskState::Failed | TaskState::Cancelled => {
                let detail = "the import has ended without success; the task says why. Upload the file again";
                return Err(Error::new(Code::InvalidTransition, detail));
            }
        }
        let target = self.upload_target(&conn, &task, now).await?;
        Ok(UploadView { image_id, task_id, size, target, complete: false })
    }

    async fn upload_target(
        &self,
        conn: &Conn<'_>,
        task: &TaskRecord,
        now: Timestamp,
    ) -> Result<Option<UploadTarget>, Error> {
        let found = hypervisor::get(conn, task.task.hypervisor_id).await.db()?;
        let Some(record) = found.filter(|record| record.hypervisor.is_online(now)) else { return Ok(None) };
        if task.task.state != TaskState::Running {
            return Ok(None);
        }
        let until = now + chrono::TimeDelta::seconds(TOKEN_S);
        let grant = UploadGrant { upload: task.task.id, until };
        Ok(objects::upload_server(self, &record, &grant).ok().map(|(server, token)| UploadTarget {
            server,
            token,
            task_id: task.task.id,
        }))
    }

    /// Sets what an import reserves, as its agent asks for under its lease.
    pub(crate) async fn reserve_for_import(
        &self,
        change: &mut Change<'_>,
        record: &TaskRecord,
        request: ReserveRequest,
    ) -> Result<ReserveResponse, Error> {
        let Some(mut found) = lifecycle::image_of(change, record).await? else {
            return Err(Error::not_found("image"));
        };
        let place = locations::get(&change.conn(), found.image.location_id).await.db()?;
        let location = place.ok_or_else(|| Error::not_found("location"))?.location;
        if found.image.kind == ImageKind::Custom {
            let owner = account::get(&change.conn(), found.image.account_id).await?.account;
            let usage = image::usage_of_account(&change.conn(), owner.id).await.db()?;
            let quota = Quota::of_usage(&owner, &location, &usage);
            if let Err(error) = quota.reserve_anew(found.image.reserved, request.bytes) {
                return Ok(refused(&error));
            }
        }
        let role = match found.image.kind {
            ImageKind::Custom => StorageRole::Customer,
            ImageKind::Stock => StorageRole::Stock,
        };
        let held = found.image.reserved;
        let near = candidates::of_hypervisor(&change.conn(), record.task.hypervisor_id, role).await?;
        let storage = near.iter().find(|candidate| candidate.storage.id == found.image.storage_id);
        let more = ByteSize::new(request.bytes.bytes().saturating_sub(held.bytes())).unwrap_or_default();
        if let Some(storage) = storage.filter(|storage| !storage.has_room(more)) {
            return Ok(no_room(storage, request.bytes));
        }
        found.image.reserve_anew(request.bytes)?;
        image::update(&change.tx, &found).await.db()?;
        reservation::reserve(change, record.task.id, found.image.storage_id, request.bytes).await?;
        Ok(ReserveResponse::Granted)
    }
}

fn refused(error: &Error) -> ReserveResponse {
    ReserveResponse::Refused { error: TaskError::new(TaskErrorCode::from(error.code), &error.detail) }
}

fn no_room(storage: &Candidate, needed: ByteSize) -> ReserveResponse {
    let context =
        TaskErrorContext { free: storage.free(), needed: Some(needed), ..TaskErrorContext::default() };
    let error = TaskError::new(TaskErrorCode::InsufficientStorage, "the storage has no room for the image");
    ReserveResponse::Refused { error: error.with(context) }
}

/// Reads the limits of the account that asks.
async fn quota(conn: &Conn<'_>, op: &Op, location: &Location) -> Result<Quota, Error> {
    let account = account::get(conn, op.account_id()).await?.account;
    let usage = image::usage_of_account(conn, account.id).await.db()?;
    Ok(Quota::of_usage(&account, location, &usage))
}

/// Refuses an upload without a size, and files that no disk of the location has.
fn check_size(location: &Location, request: &ImportCreate) -> Result<(), Error> {
    let at = |text: String| Err(Error::new(Code::InvalidRequest, text).at("/size_bytes"));
    let most = location.import.largest_disk.saturating_add(BEYOND_DISK);
    match (request.size, &request.source) {
        (None, ImportFrom::Upload { .. }) => at("say how many bytes the file has".to_owned()),
        (Some(size), _) if size == ByteSize::ZERO => at("the file is empty".to_owned()),
        (Some(size), _) if size > most => at(format!(
            "the file has {size}, and the largest system disk that is imported here has {}; make the disk smaller",
            location.import.largest_disk
        )),
        (Some(_), _)
        | (None, ImportFrom::Url { .. } | ImportFrom::StorageObject { .. } | ImportFrom::Imprint { .. }) => {
            Ok(())
        }
    }
}

/// What an agent has to have for an import.
enum Needs {
    /// The way to the internet.
    Nothing,
    /// A server that takes uploads.
    Receiver,
    /// A plugin for the storage that the file is in.
    Plugin {
        /// The kind of storage.
        kind: StorageKind,
        /// The hypervisors that have it.
        on: Vec<HypervisorId>,
    },
}

impl Needs {
    async fn of(conn: &Conn<'_>, kind: ImportKind, object: Option<&SourceObject>) -> Result<Self, Error> {
        Ok(match (kind, object) {
            (_, Some(object)) => {
                let kind = object.storage.kind.clone();
                let on = kinds::of_kind(conn, &kind).await.db()?;
                Self::Plugin { kind, on: on.into_iter().map(|record| record.hypervisor_id).collect() }
            }
            (ImportKind::Upload, None) => Self::Receiver,
            (ImportKind::Url | ImportKind::StorageObject | ImportKind::Imprint, None) => Self::Nothing,
        })
    }

    fn are_met_by(&self, record: &HypervisorRecord) -> bool {
        match self {
            Self::Nothing => true,
            Self::Receiver => receives(record),
            Self::Plugin { on, .. } => on.contains(&record.hypervisor.id),
        }
    }

    /// Returns the refusal where no agent has it.
    fn missing(&self) -> Error {
        match self {
            Self::Plugin { kind, .. } => {
                let detail = format!(
                    "no hypervisor of this location has a plugin for storages of the kind `{kind}`; ask the provider"
                );
                Error::new(Code::InvalidRequest, detail).at("/source/kind")
            }
            Self::Nothing | Self::Receiver => {
                let detail =
                    "no agent of this location takes uploads; start one of them with --object-listen";
                Error::new(Code::ObjectsNotServed, detail)
            }
        }
    }
}

/// Chooses the storage, and the hypervisor whose agent does the work.
async fn place(
    conn: &Conn<'_>,
    location: &Location,
    role: StorageRole,
    needed: ByteSize,
    (needs, now): (&Needs, Timestamp),
) -> Result<(imprint_domain::id::StorageId, HypervisorId), Error> {
    let mut near: Vec<(Candidate, HypervisorId)> = Vec::new();
    let (mut is_offline, mut is_silent) = (false, false);
    for record in hypervisor::of_location(conn, location.id).await.db()? {
        if !record.hypervisor.is_online(now) {
            is_offline = true;
        } else if !needs.are_met_by(&record) {
            is_silent = true;
        } else {
            let id = record.hypervisor.id;
            for candidate in candidates::of_hypervisor(conn, id, role).await? {
                if near.iter().all(|(known, _)| known.storage.id != candidate.storage.id) {
                    near.push((candidate, id));
                }
            }
        }
    }
    if near.is_empty() && is_silent {
        return Err(needs.missing());
    }
    if near.is_empty() && is_offline {
        let detail = "the agents of this location have not reported for a while; try again later";
        return Err(Error::new(Code::HypervisorOffline, detail));
    }
    let storages: Vec<Candidate> = near.iter().map(|(candidate, _)| candidate.clone()).collect();
    let chosen = choose(&storages, needed, None, now)?.storage.id;
    let by = near.iter().find(|(candidate, _)| candidate.storage.id == chosen).map(|(_, id)| *id);
    by.map(|by| (chosen, by)).ok_or_else(|| Error::internal("a chosen storage is none of the candidates"))
}

fn receives(record: &HypervisorRecord) -> bool {
    record.objects.is_some() && record.object_key_id.is_some()
}

fn imported(
    change: &Change<'_>,
    op: &Op,
    location: &Location,
    request: ImportCreate,
    (id, task_id): (ImageId, TaskId),
    (storage_id, reserved): (imprint_domain::id::StorageId, ByteSize),
) -> ImageRecord {
    let new = NewImage {
        id,
        account_id: op.account_id(),
        location_id: location.id,
        kind: if request.stock { ImageKind::Stock } else { ImageKind::Custom },
        name: request.name,
        description: request.description,
        tags: request.tags,
        metadata: Metadata::default(),
        guest: GuestSystem::default(),
        catalogue: CatalogueEntry::default(),
        source: None,
        storage_id,
        storage_key: format!("{id}.{}", location.capture_format),
        format: location.capture_format.file(),
        reserved: if request.stock { ByteSize::ZERO } else { reserved },
        task_id,
    };
    ImageRecord { image: Image::reserve(new, change.now), capture: CaptureNotes::default() }
}
