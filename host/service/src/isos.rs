//! ISOs: the provider registers them, customers mount them (S4, S110, S111). What mounts them is in
//! `instances::devices`.

use imprint_domain::{
    Code, Error,
    digest::StoredDigest,
    id::{IsoId, LocationId, StorageId, TaskId},
    iso::{Iso, IsoOsType, IsoStatus},
    name::Name,
    size::ByteSize,
    storage::StorageRole,
    task::TaskKind,
    time::Timestamp,
};
use imprint_store::{
    Conn, StoreError, instance,
    iso::{self, IsoFilter},
    task::{self, TaskRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service, TaskView,
    catalogue::location,
    change::Change,
    db_result::{DbResult, db_error},
    idempotency,
    images::{image::hypervisor_reaching_storage, stock_image::check_file},
    page::Listing,
    storages,
    tasks::{
        devices::DeviceChange,
        lifecycle::{self, NewTask},
        payload::TaskPayload,
        task::view as task_view,
    },
    validate::check_description,
};

/// The properties of an ISO. Customers see those that the API's answers for them have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoView {
    /// The ISO's id.
    pub id: IsoId,
    /// The location where it can be mounted.
    pub location_id: LocationId,
    /// The name, which is unique in the location.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The family of its system.
    pub os_type: Option<IsoOsType>,
    /// The status.
    pub status: IsoStatus,
    /// Whether customers do not see it.
    pub hidden: bool,
    /// The storage that holds its file.
    pub storage_id: StorageId,
    /// The key of the file.
    pub key: String,
    /// The size of the file, once it was read.
    pub size_bytes: Option<ByteSize>,
    /// The digest of the file, once it was read.
    pub digest: Option<StoredDigest>,
    /// The label of the volume, once it was read.
    pub label: Option<String>,
    /// The task that reads its file.
    pub task_id: TaskId,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// An ISO and the task that reads its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoTask {
    /// The ISO.
    pub iso: IsoView,
    /// The task.
    pub task: TaskView,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// A file to register as an ISO.
#[derive(Clone, Debug)]
pub struct IsoCreate {
    /// The name, which is unique in the location.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The family of its system.
    pub os_type: Option<IsoOsType>,
    /// Whether customers do not see it.
    pub hidden: bool,
    /// The location where it can be mounted.
    pub location_id: LocationId,
    /// A storage of role `iso`.
    pub storage_id: StorageId,
    /// The file's key in that storage.
    pub key: String,
}

/// A change of an ISO; `None` keeps a property.
#[derive(Clone, Debug, Default)]
pub struct IsoPatch {
    /// The new name.
    pub name: Option<Name>,
    /// The new description.
    pub description: Option<String>,
    /// The family of its system; `Some(None)` removes it.
    pub os_type: Option<Option<IsoOsType>>,
    /// Whether customers do not see it.
    pub hidden: Option<bool>,
}

pub(crate) fn view(iso: Iso) -> IsoView {
    IsoView {
        id: iso.id,
        location_id: iso.location_id,
        name: iso.name,
        description: iso.description,
        os_type: iso.os_type,
        status: iso.status,
        hidden: iso.hidden,
        storage_id: iso.storage_id,
        key: iso.storage_key,
        size_bytes: iso.stored.as_ref().map(|stored| stored.size),
        digest: iso.stored.as_ref().map(|stored| stored.digest.clone()),
        label: iso.stored.map(|stored| stored.label),
        task_id: iso.task_id,
        created_at: iso.created_at,
    }
}

/// Reads an ISO that must exist and be visible to the actor: customers see those that are offered.
pub(crate) async fn visible(conn: &Conn<'_>, op: &Op, id: IsoId) -> Result<Iso, Error> {
    let found = iso::get(conn, id).await.db()?;
    found.filter(|iso| op.is_admin() || iso.is_offered()).ok_or_else(|| Error::not_found("ISO"))
}

/// Returns whether a task puts that ISO into a drive.
fn mounts(record: &TaskRecord, id: IsoId) -> bool {
    matches!(
        TaskPayload::of(record),
        Ok(TaskPayload::Devices(DeviceChange::Mount(mount))) if mount.iso_id == id
    )
}

fn taken(error: &StoreError) -> Error {
    match error {
        StoreError::Duplicate(_) => Error::new(
            Code::NameTaken,
            "an ISO of the location has this name or this file; choose another one",
        )
        .at("/name"),
        StoreError::Database(_) | StoreError::Corrupt { .. } | StoreError::File(_) => db_error(error),
    }
}

impl Service {
    /// Returns a page of the ISOs that can be mounted, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn iso_list(
        &self,
        op: &Op,
        location_id: Option<LocationId>,
        page: &PageRequest,
    ) -> Result<Page<IsoView>, Error> {
        op.require_read()?;
        self.isos(page, IsoFilter { location_id, offered: true, ..IsoFilter::default() }).await
    }

    /// Returns a page of all ISOs, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn admin_iso_list(&self, op: &Op, page: &PageRequest) -> Result<Page<IsoView>, Error> {
        op.require_admin()?;
        self.isos(page, IsoFilter::default()).await
    }

    async fn isos(&self, page: &PageRequest, filter: IsoFilter) -> Result<Page<IsoView>, Error> {
        let listing = Listing::new(page, &format!("isos {:?} {}", filter.location_id, filter.offered))?;
        let filter = IsoFilter { after: listing.after()?, limit: listing.rows(), ..filter };
        let rows = iso::list(&self.read(), &filter).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |iso| iso.id)?;
        Ok(Page { items: rows.into_iter().map(view).collect(), next_page_token })
    }

    /// Registers an ISO and queues the task that checks and reads its file. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for a location or a
    /// storage that does not exist; [`Code::InvalidRequest`]; [`Code::NameTaken`];
    /// [`Code::ResourceInUse`] for a file that a task is removing; [`Code::NoImageStorageBound`];
    /// an error of the database.
    pub async fn iso_create(&self, op: &Op, request: IsoCreate) -> Result<IsoTask, Error> {
        op.require_admin()?;
        check_description(&request.description)?;
        check_file(&request.key)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(IsoTask { replayed: true, ..stored });
        }
        location::get(&change.conn(), request.location_id).await.map_err(|error| error.at("/location_id"))?;
        let found = storages::view::get(&change.conn(), request.storage_id).await;
        let storage = found.map_err(|error| error.at("/storage_id"))?.storage;
        if storage.role != StorageRole::Iso {
            let detail = "the file of an ISO is picked from a storage of role `iso`";
            return Err(Error::new(Code::InvalidRequest, detail).at("/storage_id"));
        }
        if storages::scan::is_being_removed(&change.conn(), storage.id, &request.key).await? {
            return Err(Error::new(Code::ResourceInUse, "a task is removing this file").at("/key"));
        }
        let (id, task_id) = (IsoId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let iso = Iso {
            id,
            location_id: request.location_id,
            storage_id: request.storage_id,
            storage_key: request.key,
            name: request.name,
            description: request.description,
            os_type: request.os_type,
            hidden: request.hidden,
            status: IsoStatus::Registering,
            stored: None,
            task_id,
            created_at: change.now,
        };
        let new = NewTask {
            account_id: op.account_id(),
            kind: TaskKind::IsoRegister,
            image_id: None,
            instance_id: None,
            hypervisor_id: hypervisor_reaching_storage(&change, storage.id).await?,
            payload: TaskPayload::Iso { iso_id: id },
            request_id: op.request_id,
        };
        let task = lifecycle::new_task(&change, task_id, new)?;
        iso::insert(&change.tx, &iso).await.map_err(|error| taken(&error))?;
        change.iso_changed(id).await?;
        lifecycle::queue(&mut change, &task).await?;
        change.audit(op, "iso.register", id).await?;
        let task = task_view(&change.conn(), &task, change.now).await?;
        let answer = IsoTask { iso: view(iso), task, replayed: false };
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Changes name, description, family or visibility of an ISO. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::InvalidRequest`]; [`Code::NameTaken`]; an error of the database.
    pub async fn iso_update(&self, op: &Op, id: IsoId, patch: IsoPatch) -> Result<IsoView, Error> {
        op.require_admin()?;
        patch.description.as_deref().map_or(Ok(()), check_description)?;
        let mut change = Change::begin(self).await?;
        let mut iso = visible(&change.conn(), op, id).await?;
        iso.name = patch.name.unwrap_or(iso.name);
        iso.description = patch.description.unwrap_or(iso.description);
        iso.os_type = patch.os_type.unwrap_or(iso.os_type);
        iso.hidden = patch.hidden.unwrap_or(iso.hidden);
        iso::update(&change.tx, &iso).await.map_err(|error| taken(&error))?;
        change.iso_changed(id).await?;
        change.audit(op, "iso.update", id).await?;
        change.commit().await?;
        Ok(view(iso))
    }

    /// Removes an ISO that no instance has in its drive. Its file stays on its storage. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::ResourceInUse`] while it is mounted or a task works with it; an error of the
    /// database.
    pub async fn iso_delete(&self, op: &Op, id: IsoId) -> Result<(), Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let iso = visible(&change.conn(), op, id).await?;
        let mounted = instance::count_of_iso(&change.conn(), id).await.db()?;
        if mounted > 0 {
            let detail = format!("{mounted} instances have it in their drives; eject it there first");
            return Err(Error::new(Code::ResourceInUse, detail).with("instances", mounted));
        }
        let registering = task::get(&change.conn(), iso.task_id).await.db()?;
        let is_active = registering.is_some_and(|record| !record.task.state.is_final());
        let mut mounting = task::active_of_kind(&change.conn(), TaskKind::InstanceMountIso).await.db()?;
        mounting.retain(|record| mounts(record, id));
        if is_active || !mounting.is_empty() {
            let task_id = mounting.first().map_or(iso.task_id, |record| record.task.id);
            let detail = "a task works with it; wait until it is over, or cancel it";
            return Err(Error::new(Code::ResourceInUse, detail).with("task_id", task_id));
        }
        iso::delete(&change.tx, id).await.db()?;
        change.iso_removed(id).await?;
        change.audit(op, "iso.delete", id).await?;
        change.commit().await
    }
}
