//! Deploying: a new instance from an image (S63 to S67).

use imprint_domain::{
    Code, Error,
    id::{DiskId, HypervisorId, ImageId, InstanceId, LocationId, TaskId},
    image::{
        Image, ImageFormat, ImageKind,
        catalogue::{ImageFamily, choose_latest},
    },
    instance::{BootSource, Disk, Instance, NewInstance},
    rules,
    size::ByteSize,
    task::TaskKind,
};
use imprint_store::{
    Conn,
    hypervisor::{self, HypervisorRecord},
    image,
    instance::{self, InstanceRecord},
};

use crate::{
    InstanceCreate, InstanceTask, Op, Service,
    change::Change,
    db_result::DbResult,
    idempotency,
    images::image::visible,
    instances::{instance::view, seed},
    objects::{self, Reader},
    sharing::permission::Permission,
    storages::bring::bring,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
        task::view as task_view,
    },
};

/// The bounds of what can be requested.
const VCPUS: std::ops::RangeInclusive<u32> = 1..=64;
const MIN_MEMORY: u64 = 64 << 20;
const MAX_MEMORY: u64 = 1 << 40;
const MAX_DISK: u64 = 64 << 40;
/// The defaults of what a request may leave out.
const DEFAULT_VCPUS: u32 = 1;
const DEFAULT_MEMORY: u64 = 512 << 20;
/// The format of new disks.
pub(super) const DISK_FORMAT: ImageFormat = ImageFormat::Qcow2;

fn invalid(pointer: &str, detail: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidRequest, detail).at(pointer)
}

/// Checks the processors and the memory of a request, and puts in the defaults.
pub(super) fn check_machine(vcpus: Option<u32>, memory: Option<ByteSize>) -> Result<(u32, ByteSize), Error> {
    let vcpus = vcpus.unwrap_or(DEFAULT_VCPUS);
    if !VCPUS.contains(&vcpus) {
        return Err(invalid("/vcpus", format!("vcpus is {} to {}", VCPUS.start(), VCPUS.end())));
    }
    let memory = memory.map_or(DEFAULT_MEMORY, ByteSize::bytes);
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&memory) {
        return Err(invalid("/memory_bytes", "memory is 64 MiB to 1 TiB"));
    }
    Ok((vcpus, ByteSize::new(memory).map_err(Error::internal)?))
}

pub(super) fn check(request: &InstanceCreate) -> Result<(u32, ByteSize), Error> {
    let machine = check_machine(request.vcpus, request.memory)?;
    if request.disk_size.is_some_and(|size| size.bytes() > MAX_DISK || size.bytes() % 512 != 0) {
        return Err(invalid("/disk_size_bytes", "a disk has at most 64 TiB, in multiples of 512 bytes"));
    }
    seed::check(request)?;
    Ok(machine)
}

/// Chooses the hypervisor: the requested one, or the one with the fewest instances among those that
/// are bound to the image's storage. The second value is whether it reaches the image, there or
/// through another agent.
pub(super) async fn choose(
    change: &Change<'_>,
    request: &InstanceCreate,
    image: &Image,
) -> Result<(HypervisorRecord, bool), Error> {
    let conn = change.conn();
    let reaching = hypervisor::of_storage(&conn, image.storage_id).await.db()?;
    if let Some(id) = request.hypervisor_id {
        let host = crate::catalogue::hypervisor::get(&conn, id).await;
        let host = host.map_err(|error| error.at("/hypervisor_id"))?;
        let bound = reaching.iter().any(|record| record.hypervisor.id == id);
        // Read from another agent the image stays where it is, and its bytes move once.
        let reaches = bound
            || matches!(
                objects::serving(&conn, image.storage_id, Reader::Agent, change.now).await?,
                objects::Serving::Online(_)
            );
        return match image.kind {
            // Stock images stay where the operator put them.
            ImageKind::Stock if !reaches => {
                Err(objects::not_reachable(objects::NO_AGENT).at("/hypervisor_id"))
            }
            ImageKind::Stock | ImageKind::Custom => Ok((host, reaches)),
        };
    }
    let mut best: Option<(bool, u64, HypervisorRecord)> = None;
    for record in reaching {
        if record.hypervisor.location_id != image.location_id {
            continue;
        }
        let offline = !record.hypervisor.is_online(change.now);
        let load = instance::count_of_hypervisor(&conn, record.hypervisor.id).await.db()?;
        if best.as_ref().is_none_or(|(worst, most, _)| (offline, load) < (*worst, *most)) {
            best = Some((offline, load, record));
        }
    }
    best.map(|(_, _, record)| (record, true)).ok_or_else(|| {
        let advice = "no hypervisor of the image's location is; choose one with `hypervisor_id`";
        objects::not_reachable(advice).at("/hypervisor_id")
    })
}

/// A family of stock images to deploy from.
#[derive(Clone, Debug)]
pub struct FamilyChoice {
    /// The family.
    pub family: ImageFamily,
    /// The location; needed when the family is in several, and no hypervisor is named.
    pub location_id: Option<LocationId>,
    /// The hypervisor that the instance will be on, if the request names one.
    pub hypervisor_id: Option<HypervisorId>,
}

impl Service {
    /// Deploys a new instance from an image.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// not visible; [`Code::InvalidRequest`]; the codes of [`imprint_domain::rules`]; failures of
    /// the database.
    pub async fn instance_create(&self, op: &Op, request: InstanceCreate) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let machine = check(&request)?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        deploy(change, op, request, machine).await
    }

    /// Deploys a new instance from the latest version of a family that is available, offered to
    /// customers and not deprecated. `request` returns the request for that image.
    ///
    /// # Errors
    ///
    /// Those of [`Service::instance_create`]; [`Code::NotFound`] also for a family without such a
    /// version; [`Code::InvalidRequest`] also when the family is in several locations and none is
    /// named.
    pub async fn instance_create_of_family(
        &self,
        op: &Op,
        choice: &FamilyChoice,
        request: impl FnOnce(ImageId) -> InstanceCreate + Send,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let request = request(latest_of(&change.conn(), choice).await?);
        let machine = check(&request)?;
        deploy(change, op, request, machine).await
    }
}

/// Returns the image that a deployment by a family takes now.
async fn latest_of(conn: &Conn<'_>, choice: &FamilyChoice) -> Result<ImageId, Error> {
    let location = match (choice.location_id, choice.hypervisor_id) {
        (Some(id), _) => Some(id),
        (None, Some(id)) => {
            let host = crate::catalogue::hypervisor::get(conn, id).await;
            Some(host.map_err(|error| error.at("/hypervisor_id"))?.hypervisor.location_id)
        }
        (None, None) => None,
    };
    let members = image::current_of_families(conn, &[&choice.family]).await.db()?;
    choose_latest(members, location)
}

/// Deploys a new instance with that many processors and so much memory, and commits.
async fn deploy(
    mut change: Change<'_>,
    op: &Op,
    request: InstanceCreate,
    (vcpus, memory): (u32, ByteSize),
) -> Result<InstanceTask, Error> {
    let (image, permission) = visible(&change.conn(), op, request.image_id, change.now)
        .await
        .map_err(|error| error.at("/image_id"))?;
    let (host, reaches) = choose(&change, &request, &image.image).await?;
    let host = host.hypervisor;
    seed::require_cloud_init(&request, &image.image)?;
    let disk_size = rules::deploy(&rules::DeployFacts {
        account: &op.actor.account,
        image: &image.image,
        shared: permission.as_ref().map(Permission::facts),
        hypervisor: &host,
        disk_size: request.disk_size,
        now: change.now,
    })?;
    if !reaches {
        bring(&mut change, &image, host.id).await.map_err(|error| error.at("/hypervisor_id"))?;
    }
    let service = change.service;
    let (id, task_id) = (InstanceId::new(service.new_uuid()), TaskId::new(service.new_uuid()));
    let new = NewInstance {
        id,
        account_id: op.account_id(),
        name: request.name.clone(),
        hypervisor_id: host.id,
        location_id: host.location_id,
        boot_source: BootSource::Disk,
        image_id: Some(image.image.id),
        vcpus,
        memory,
        metadata: image.image.metadata.clone(),
        guest: image.image.guest,
        declared_os: request.declared_os,
        disk_size,
        iso: None,
    };
    let record = InstanceRecord { instance: Instance::deploy(new, change.now), task_id: Some(task_id) };
    let disk = Disk {
        id: DiskId::new(service.new_uuid()),
        instance_id: id,
        primary: true,
        virtual_size: disk_size,
        format: DISK_FORMAT,
        allocated: None,
    };
    instance::insert(&change.tx, &record, &[disk]).await.db()?;
    change.instance_changed(&record).await?;
    let seed = seed::make(&change, op, &request, &record.instance.metadata).await?;
    let payload = TaskPayload::Deploy { seed, start: request.start, disk: None };
    let answer = queue(&mut change, op, payload, &record).await?;
    idempotency::remember(&change, op, &answer).await?;
    change.commit().await?;
    Ok(answer)
}

/// Queues the task of a new instance.
pub(super) async fn queue(
    change: &mut Change<'_>,
    op: &Op,
    payload: TaskPayload,
    record: &InstanceRecord,
) -> Result<InstanceTask, Error> {
    let instance = &record.instance;
    let task_id = record.task_id.ok_or_else(|| Error::internal("a new instance without its task"))?;
    let new = NewTask {
        account_id: instance.account_id,
        kind: TaskKind::InstanceDeploy,
        image_id: instance.image_id,
        instance_id: Some(instance.id),
        hypervisor_id: instance.hypervisor_id,
        payload,
        request_id: op.request_id,
    };
    let task = lifecycle::new_task(change, task_id, new)?;
    lifecycle::queue(change, &task).await?;
    change.audit(op, "instance.deploy", instance.id).await?;
    Ok(InstanceTask {
        instance: view(&change.conn(), record, change.now).await?,
        task: task_view(&change.conn(), &task, change.now).await?,
        replayed: false,
    })
}
