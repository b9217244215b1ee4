//! Instances: list, show, deploy, start, stop, delete.

use imprint_domain::{
    Error,
    id::{
        AccountId, DiskId, HypervisorId, ImageId, InstanceId, IsoId, LocationId, SshKeyId, TaskId,
        UserScriptId,
    },
    image::{ImageFormat, ImageKind, catalogue::GuestSystem},
    instance::{BootSource, InstanceStatus, Power},
    metadata::Metadata,
    name::Name,
    network::Network,
    rules,
    size::ByteSize,
    task::TaskKind,
    time::Timestamp,
    windows::DeclaredOs,
};
use imprint_store::{
    Conn, image,
    instance::{self, InstanceRecord},
    iso, task,
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service, TaskView,
    catalogue::{hypervisor, offer},
    change::Change,
    db_result::DbResult,
    idempotency,
    instances::capture_facts::{CaptureAllowed, Facts, Shared},
    page::Listing,
    sharing::permission::share_of,
    tasks::{
        lifecycle::{self, NewTask, invalid_transition},
        payload::TaskPayload,
        task::{cancel, view as task_view},
    },
    validate::{busy_with, require_idle},
};

/// The image that an instance was deployed from, while it exists and its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// The image's id.
    pub id: ImageId,
    /// The image's name.
    pub name: Name,
}

/// The public properties of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskView {
    /// The disk's id.
    pub id: DiskId,
    /// Whether it is the disk that is captured (S16).
    pub primary: bool,
    /// The size in bytes that the guest sees.
    pub virtual_size_bytes: ByteSize,
    /// The format of its file: `raw` or `qcow2`.
    pub format: ImageFormat,
}

/// The ISO in the drive of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedIso {
    /// The ISO's id.
    pub id: IsoId,
    /// The ISO's name.
    pub name: Name,
    /// Whether the machine boots from it first at each start.
    pub boot_from_cd: bool,
}

/// The public properties of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// The instance's id.
    pub id: InstanceId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The instance's name.
    pub name: Name,
    /// The status of the instance.
    pub status: InstanceStatus,
    /// The power state.
    pub power: Power,
    /// The location of its hypervisor.
    pub location_id: LocationId,
    /// The hypervisor that runs it.
    pub hypervisor_id: HypervisorId,
    /// The image that it was deployed from, while that exists and its owner may see it.
    pub image: Option<ImageName>,
    /// The origin of its primary disk.
    pub boot_source: BootSource,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of its memory in bytes.
    pub memory_bytes: ByteSize,
    /// How its system is started, as its image said at the deployment.
    #[serde(default)]
    pub metadata: Metadata,
    /// Its network card, as its agent reported it last.
    #[serde(default)]
    pub network: Option<Network>,
    /// What its owner says that it runs.
    #[serde(default)]
    pub declared_os: Option<DeclaredOs>,
    /// The most bytes that its primary disk's file occupied (S133).
    #[serde(default)]
    pub largest_content: ByteSize,
    /// The largest size of its primary disk in bytes (S133).
    #[serde(default)]
    pub largest_size: ByteSize,
    /// What its system is, as its image said at the deployment.
    #[serde(default)]
    pub guest: GuestSystem,
    /// The disks of the instance.
    pub disks: Vec<DiskView>,
    /// The ISO in its drive.
    #[serde(default)]
    pub iso: Option<MountedIso>,
    /// Whether its drive and its further disks can be changed.
    #[serde(default)]
    pub changes_devices: bool,
    /// Whether it can be captured now.
    pub capture: CaptureAllowed,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was requested.
    pub created_at: Timestamp,
}

/// An instance and the task that works on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTask {
    /// The instance.
    pub instance: InstanceView,
    /// The task.
    pub task: TaskView,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// The instances to list, latest first.
#[derive(Clone, Debug, Default)]
pub struct InstanceList {
    /// Only these, if any are named; at most [`MAX_IDS`](crate::MAX_IDS), on one page.
    pub ids: Option<Vec<InstanceId>>,
    /// The page to return.
    pub page: PageRequest,
}

/// A request for a new instance.
#[derive(Clone, Debug)]
pub struct InstanceCreate {
    /// The image to deploy.
    pub image_id: ImageId,
    /// The instance's name.
    pub name: Name,
    /// The hypervisor; `None` chooses one that can reach the image.
    pub hypervisor_id: Option<HypervisorId>,
    /// The number of virtual processors, 1 to 64; `None` takes 1.
    pub vcpus: Option<u32>,
    /// The size of its memory, 64 MiB to 1 TiB; `None` takes 512 MiB.
    pub memory: Option<ByteSize>,
    /// The size of its disk, at least the image's virtual size; `None` takes that.
    pub disk_size: Option<ByteSize>,
    /// Saved keys of the account, in addition to `ssh_keys`; at most 32 of both together.
    pub ssh_key_ids: Vec<SshKeyId>,
    /// A saved script of the account, instead of `user_data`.
    pub user_script_id: Option<UserScriptId>,
    /// The lines of `authorized_keys`, at most 32.
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    pub user_data: Option<String>,
    /// What it runs; `None` where nothing is said (S33).
    pub declared_os: Option<DeclaredOs>,
    /// Whether it is started at the end.
    pub start: bool,
}

/// Returns the public properties of an instance.
pub(crate) async fn view(
    conn: &Conn<'_>,
    record: &InstanceRecord,
    now: Timestamp,
) -> Result<InstanceView, Error> {
    view_one_of(conn, record, now, &mut Shared::default()).await
}

/// Returns the name of an image while it exists and the instance's owner may see it.
async fn image_name(
    conn: &Conn<'_>,
    id: ImageId,
    owner: AccountId,
    now: Timestamp,
) -> Result<Option<ImageName>, Error> {
    let Some(record) = image::get(conn, id).await.db()? else { return Ok(None) };
    let found = &record.image;
    let sees = match found.kind {
        ImageKind::Stock => offer::is_offered_to(conn, found, owner).await?,
        ImageKind::Custom => found.account_id == owner || share_of(conn, found, owner, now).await?.is_some(),
    };
    Ok(sees.then(|| ImageName { id, name: found.name.clone() }))
}

/// Returns the same for an instance of a list.
pub(super) async fn view_one_of(
    conn: &Conn<'_>,
    record: &InstanceRecord,
    now: Timestamp,
    shared: &mut Shared,
) -> Result<InstanceView, Error> {
    let instance = &record.instance;
    let facts = Facts::read(conn, instance, shared).await?;
    let image = match instance.image_id {
        Some(id) => image_name(conn, id, instance.account_id, now).await?,
        None => None,
    };
    let iso = match instance.iso {
        Some(mount) => {
            let found = iso::get(conn, mount.iso_id).await.db()?;
            found.map(|iso| MountedIso { id: iso.id, name: iso.name, boot_from_cd: mount.boot })
        }
        None => None,
    };
    let changes_devices = shared.changes_devices(conn, instance.hypervisor_id).await?;
    let disks = facts.disks().iter().map(|disk| DiskView {
        id: disk.id,
        primary: disk.primary,
        virtual_size_bytes: disk.virtual_size,
        format: disk.format,
    });
    let primary = facts.disks().iter().find(|disk| disk.primary);
    let largest = primary.map_or(instance.largest, |disk| instance.largest.with(disk.observed()));
    Ok(InstanceView {
        id: instance.id,
        account_id: instance.account_id,
        name: instance.name.clone(),
        status: instance.status,
        power: instance.power,
        location_id: instance.location_id,
        hypervisor_id: instance.hypervisor_id,
        image,
        boot_source: instance.boot_source,
        vcpus: instance.vcpus,
        memory_bytes: instance.memory,
        metadata: instance.metadata.clone(),
        network: instance.network.clone(),
        declared_os: instance.declared_os,
        largest_content: largest.content,
        largest_size: largest.size,
        guest: instance.guest,
        disks: disks.collect(),
        iso,
        changes_devices,
        capture: facts.allowed(instance, now),
        task_id: record.task_id,
        created_at: instance.created_at,
    })
}

/// Reads an instance that must exist and be visible to the actor.
pub(crate) async fn visible(conn: &Conn<'_>, op: &Op, id: InstanceId) -> Result<InstanceRecord, Error> {
    let found = instance::get(conn, id).await.db()?;
    found.filter(|record| op.sees(record.instance.account_id)).ok_or_else(|| Error::not_found("instance"))
}

impl Service {
    /// Returns a page of the account's instances, latest first; for admins of all accounts.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; an error of the database.
    pub async fn instance_list(&self, op: &Op, list: &InstanceList) -> Result<Page<InstanceView>, Error> {
        op.require_read()?;
        if let Some(ids) = &list.ids {
            return self.instances_of_ids(op, ids).await;
        }
        let account_id = (!op.is_admin()).then(|| op.account_id());
        let listing = Listing::new(&list.page, &format!("instances {account_id:?}"))?;
        let conn = self.read();
        let rows = instance::list(&conn, account_id, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.instance.id)?;
        let (now, mut shared) = (self.now(), Shared::default());
        let mut items = Vec::with_capacity(rows.len());
        for record in &rows {
            items.push(view_one_of(&conn, record, now, &mut shared).await?);
        }
        Ok(Page { items, next_page_token })
    }

    /// Returns one instance.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn instance_show(&self, op: &Op, id: InstanceId) -> Result<InstanceView, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = visible(&conn, op, id).await?;
        view(&conn, &record, self.now()).await
    }

    /// Starts an instance.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn instance_start(&self, op: &Op, id: InstanceId, busy: Busy) -> Result<InstanceTask, Error> {
        Box::pin(self.instance_power(op, id, (TaskKind::InstanceStart, Power::Running), busy)).await
    }

    /// Shuts an instance down.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn instance_stop(&self, op: &Op, id: InstanceId, busy: Busy) -> Result<InstanceTask, Error> {
        Box::pin(self.instance_power(op, id, (TaskKind::InstanceStop, Power::Off), busy)).await
    }

    async fn instance_power(
        &self,
        op: &Op,
        id: InstanceId,
        (kind, goal): (TaskKind, Power),
        busy: Busy,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = visible(&change.conn(), op, id).await?;
        record.instance.require_ready()?;
        make_way(&mut change, op, id, busy).await?;
        if record.instance.power == goal {
            return Err(invalid_transition(format!("the instance is {} already", goal)));
        }
        let host = hypervisor::get(&change.conn(), record.instance.hypervisor_id).await?.hypervisor;
        rules::require_online(&host, change.now)?;
        let answer = queue(&mut change, op, record, kind).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Stops an instance and removes its disks. A second deletion returns the task of the first.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn instance_delete(&self, op: &Op, id: InstanceId, busy: Busy) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let mut record = visible(&change.conn(), op, id).await?;
        match record.instance.status {
            InstanceStatus::Deleting => {
                let task_id = record.task_id.ok_or_else(|| Error::internal("deleting without a task"))?;
                let found = task::get(&change.conn(), task_id).await.db()?;
                let found = found.ok_or_else(|| Error::internal("deleting without its task"))?;
                let task = task_view(&change.conn(), &found, change.now).await?;
                let instance = view(&change.conn(), &record, change.now).await?;
                return Ok(InstanceTask { instance, task, replayed: true });
            }
            InstanceStatus::Deploying | InstanceStatus::Ready | InstanceStatus::Error => {}
        }
        make_way(&mut change, op, id, busy).await?;
        record.instance.delete()?;
        let answer = queue(&mut change, op, record, TaskKind::InstanceDelete).await?;
        change.commit().await?;
        Ok(answer)
    }
}

/// What a request does to the tasks that work on its instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// The request is refused while there is one.
    #[default]
    Refuse,
    /// They are cancelled, and the request is carried out when they are over.
    Cancel,
}

/// Refuses while a task works on the instance, or cancels what does.
pub(super) async fn make_way(
    change: &mut Change<'_>,
    op: &Op,
    id: InstanceId,
    busy: Busy,
) -> Result<(), Error> {
    if busy == Busy::Refuse {
        return require_idle(&change.conn(), id).await;
    }
    for mut record in task::active_of_instance(&change.conn(), id).await.db()? {
        // What switches the instance or removes it is not undone half-way.
        if record.task.kind != TaskKind::ImageCapture {
            return Err(busy_with(&record.task));
        }
        cancel(change, op, &mut record).await?;
    }
    Ok(())
}

/// The work of a task on an instance that exists.
pub(super) struct Work {
    pub(super) kind: TaskKind,
    /// The image that it reads, if it reads one.
    pub(super) image_id: Option<ImageId>,
    pub(super) payload: TaskPayload,
}

/// Queues a task without parameters for an instance and writes the instance's row.
pub(crate) async fn queue(
    change: &mut Change<'_>,
    op: &Op,
    record: InstanceRecord,
    kind: TaskKind,
) -> Result<InstanceTask, Error> {
    queue_work(change, op, record, Work { kind, image_id: None, payload: TaskPayload::Plain }).await
}

/// Queues a task for an instance and writes the instance's row.
pub(super) async fn queue_work(
    change: &mut Change<'_>,
    op: &Op,
    mut record: InstanceRecord,
    Work { kind, image_id, payload }: Work,
) -> Result<InstanceTask, Error> {
    let id = record.instance.id;
    let task_id = TaskId::new(change.service.new_uuid());
    let new = NewTask {
        account_id: record.instance.account_id,
        kind,
        image_id,
        instance_id: Some(id),
        hypervisor_id: record.instance.hypervisor_id,
        payload,
        request_id: op.request_id,
    };
    let task = lifecycle::new_task(change, task_id, new)?;
    record.task_id = Some(task_id);
    instance::update(&change.tx, &record).await.db()?;
    change.instance_changed(&record).await?;
    lifecycle::queue(change, &task).await?;
    change.audit(op, kind.as_str(), id).await?;
    Ok(InstanceTask {
        instance: view(&change.conn(), &record, change.now).await?,
        task: task_view(&change.conn(), &task, change.now).await?,
        replayed: false,
    })
}
