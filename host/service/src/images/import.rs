//! Importing: the rules, the slot, the image and its task, in one transaction (S74 to S80, D6).
//!
//! The task exists from the request on, also while a client still uploads: it is cancelled, shown
//! and taken up again after a crash like any other. Its agent receives the file.

use imprint_agent_protocol::{
    FileDigest, ObjectServer, ReserveRequest, ReserveResponse, UploadGrant, secret_name,
};
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
    image_import, location as locations,
    secret::of_task,
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
    secrets::seal,
    storages::{candidates, reservation},
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
    validate::{check_description, truncate},
};

/// The bytes of a file beyond the largest disk that is imported.
const BEYOND_DISK: ByteSize = ByteSize::GIB;
/// The longest address of a file, and the longest value of a head field, in bytes.
const MAX_URL: usize = 8 << 10;
/// The most head fields, and the longest name of one.
const MAX_FIELDS: usize = 16;
const MAX_FIELD_NAME: usize = 64;
/// The longest text that says where a file came from, in bytes.
const MAX_ORIGIN: usize = 512;
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

/// Where the file of an import comes from.
#[derive(Clone, Debug)]
pub enum ImportFrom {
    /// A client sends it; the name is that of its file.
    Upload {
        /// The name of the file, for people.
        file_name: String,
    },
    /// It is read from a server.
    Url {
        /// The address, `http` or `https`, which may hold credentials.
        url: SecretText,
        /// Fields of the requests' heads, such as `Authorization`.
        headers: Vec<(String, SecretText)>,
    },
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
        let origin = origin_of(&request.source)?;
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
        let reserve = stored_upper_bound(request.size.unwrap_or(ByteSize::ZERO));
        let role = if request.stock { StorageRole::Stock } else { StorageRole::Customer };
        let upload = matches!(request.source, ImportFrom::Upload { .. });
        let (storage_id, hypervisor_id) =
            place(&change.conn(), &location, role, reserve, (upload, change.now)).await?;
        if !request.stock {
            let quota = quota(&change.conn(), op, &location).await?;
            quota.reserve(reserve)?;
            budgets::require(self, &change.conn(), op.account_id(), change.now).await?;
        }
        let (image_id, task_id) = (ImageId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let new = NewTask {
            account_id: op.account_id(),
            kind: TaskKind::ImageImport,
            image_id: Some(image_id),
            instance_id: None,
            hypervisor_id,
            payload: TaskPayload::Import {
                upload,
                declared: request.format,
                size: request.size,
                expected: request.digest.clone(),
            },
            request_id: op.request_id,
        };
        let task = lifecycle::new_task(&change, task_id, new)?;
        let import = ImageImport {
            image_id,
            source: if upload { ImportKind::Upload } else { ImportKind::Url },
            origin,
            announced: request.size,
            file: None,
        };
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
        (Some(_), _) | (None, ImportFrom::Url { .. }) => Ok(()),
    }
}

/// Chooses the storage, and the hypervisor whose agent does the work.
async fn place(
    conn: &Conn<'_>,
    location: &Location,
    role: StorageRole,
    needed: ByteSize,
    (upload, now): (bool, Timestamp),
) -> Result<(imprint_domain::id::StorageId, HypervisorId), Error> {
    let mut near: Vec<(Candidate, HypervisorId)> = Vec::new();
    let (mut is_offline, mut is_silent) = (false, false);
    for record in hypervisor::of_location(conn, location.id).await.db()? {
        if !record.hypervisor.is_online(now) {
            is_offline = true;
        } else if upload && !receives(&record) {
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
        let detail = "no agent of this location takes uploads; start one of them with --object-listen";
        return Err(Error::new(Code::ObjectsNotServed, detail));
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

/// Checks a source, and says where it is without anything secret.
fn origin_of(source: &ImportFrom) -> Result<String, Error> {
    match source {
        ImportFrom::Upload { file_name } => {
            let shown: String = file_name.chars().filter(|c| !c.is_control()).collect();
            Ok(truncate(shown.trim(), MAX_ORIGIN))
        }
        ImportFrom::Url { url, headers } => {
            check_headers(headers)?;
            shown_url(url.expose())
        }
    }
}

fn check_headers(headers: &[(String, SecretText)]) -> Result<(), Error> {
    let at = |text: &str| Err(Error::new(Code::InvalidRequest, text).at("/source/headers"));
    if headers.len() > MAX_FIELDS {
        return at("at most 16 head fields are sent");
    }
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MAX_FIELD_NAME || !name.chars().all(token) {
            return at("the name of a head field has letters, digits and `-`");
        }
        let reserved = ["host", "range", "content-length", "connection", "transfer-encoding"];
        if reserved.contains(&name.to_ascii_lowercase().as_str()) {
            return at("the head fields of the transfer itself cannot be set");
        }
        if value.expose().len() > MAX_URL || value.expose().chars().any(char::is_control) {
            return at("the value of a head field has at most 8 KiB, and no control characters");
        }
    }
    Ok(())
}

/// Returns an address without what only its server may know: user, query and fragment.
fn shown_url(url: &str) -> Result<String, Error> {
    let refuse = || {
        let detail = "give the address of the file, which begins with https:// or http://";
        Error::new(Code::InvalidRequest, detail).at("/source/url")
    };
    if url.len() > MAX_URL || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(refuse)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(refuse());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse());
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Ok(truncate(&format!("{scheme}://{host}{path}"), MAX_ORIGIN))
}

/// Seals the address and the head fields of a source until the task is over.
async fn seal_source(change: &Change<'_>, task: TaskId, source: &ImportFrom) -> Result<(), Error> {
    let ImportFrom::Url { url, headers } = source else { return Ok(()) };
    let named = headers.iter().map(|(name, value)| (format!("{}{name}", secret_name::HEADER), value));
    for (name, value) in std::iter::once((secret_name::URL.to_owned(), url)).chain(named) {
        let sealed = seal::seal(change, &task, &name, value)?;
        of_task::put(&change.tx, task, &sealed).await.db()?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let shown = |url: &str| shown_url(url).ok();
        assert_eq!(
            shown("HTTPS://user:pass@images.example:8443/a/disk.qcow2?sig=secret#part").as_deref(),
            Some("https://images.example:8443/a/disk.qcow2")
        );
        assert_eq!(shown("http://h?x=@/y").as_deref(), Some("http://h"));
        for wrong in [
            "",
            "ftp://h/x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://u@/x",
            "http://h/a b",
            "disk.raw",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_of_the_transfer_are_not_set_by_customers() {
        let field = |name: &str, value: &str| vec![(name.to_owned(), SecretText::new(value.to_owned()))];
        assert!(check_headers(&field("Authorization", "Bearer x")).is_ok());
        for (name, value) in
            [("Host", "h"), ("range", "bytes=0-"), ("a b", "x"), ("", "x"), ("X", "a\r\nB: c")]
        {
            assert!(check_headers(&field(name, value)).is_err(), "{name}");
        }
        assert!(check_headers(&vec![field("X-A", "y").remove(0); 17]).is_err());
    }
}
