//! New instances with an empty disk, onto which a system is installed from an ISO (S4, S111).

use imprint_agent_protocol::Seed;
use imprint_domain::{
    Code, Error,
    id::{DiskId, HypervisorId, InstanceId, IsoId, LocationId, TaskId},
    image::catalogue::{GuestSystem, OsType},
    instance::{BootSource, Disk, Instance, NewInstance},
    iso::{self as domain, IsoMount},
    metadata::Metadata,
    name::Name,
    rules,
    size::ByteSize,
    windows::DeclaredOs,
};
use imprint_store::{
    hypervisor::{self, HypervisorRecord},
    instance::{self, InstanceRecord},
};

use crate::{
    InstanceTask, Op, Service,
    catalogue::location,
    change::Change,
    db_result::DbResult,
    idempotency,
    instances::{
        deploy::{DISK_FORMAT, check_machine, queue},
        devices::require_devices,
        seed::hostname,
    },
    isos,
    tasks::payload::TaskPayload,
};

/// The number of hypervisors that are considered.
const MAX_HYPERVISORS: u32 = 1000;

/// A request for a new instance with an empty disk.
#[derive(Clone, Debug)]
pub struct InstanceInstall {
    /// The instance's name.
    pub name: Name,
    /// The location; `None` takes that of the hypervisor or of the ISO.
    pub location_id: Option<LocationId>,
    /// The hypervisor; `None` chooses one of the location.
    pub hypervisor_id: Option<HypervisorId>,
    /// The ISO in its drive, from which it boots first.
    pub iso_id: Option<IsoId>,
    /// The number of virtual processors, 1 to 64; `None` takes 1.
    pub vcpus: Option<u32>,
    /// The size of its memory, 64 MiB to 1 TiB; `None` takes 512 MiB.
    pub memory: Option<ByteSize>,
    /// What its owner says that it runs; `None` where nothing was said.
    pub declared_os: Option<DeclaredOs>,
    /// The size of its disk.
    pub disk_size: ByteSize,
    /// Whether it is started at the end.
    pub start: bool,
}

/// Chooses the hypervisor: the requested one, or the one with the fewest instances among those of
/// the location that change devices.
async fn choose(
    change: &Change<'_>,
    requested: Option<HypervisorId>,
    location_id: Option<LocationId>,
) -> Result<HypervisorRecord, Error> {
    let conn = change.conn();
    if let Some(id) = requested {
        let host = crate::catalogue::hypervisor::get(&conn, id).await;
        return host.map_err(|error| error.at("/hypervisor_id"));
    }
    let Some(location_id) = location_id else {
        let detail = "name the location, the hypervisor or the ISO of an instance without an image";
        return Err(Error::new(Code::InvalidRequest, detail).at("/location_id"));
    };
    location::get(&conn, location_id).await.map_err(|error| error.at("/location_id"))?;
    let mut best: Option<((bool, bool, u64), HypervisorRecord)> = None;
    for record in hypervisor::list(&conn, None, MAX_HYPERVISORS).await.db()? {
        if record.hypervisor.location_id != location_id {
            continue;
        }
        let load = instance::count_of_hypervisor(&conn, record.hypervisor.id).await.db()?;
        let rank = (!record.changes_devices, !record.hypervisor.is_online(change.now), load);
        if best.as_ref().is_none_or(|(least, _)| rank < *least) {
            best = Some((rank, record));
        }
    }
    let none = || Error::new(Code::InvalidRequest, "the location has no hypervisor").at("/location_id");
    best.map(|(_, record)| record).ok_or_else(none)
}

impl Service {
    /// Creates a new instance with an empty disk, and with an ISO in its drive if one is named.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; [`Code::InvalidRequest`]; the codes of [`domain::mount`];
    /// [`Code::DevicesNotSupported`]; [`Code::HypervisorOffline`]; an error of the database.
    pub async fn instance_install(&self, op: &Op, request: InstanceInstall) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let (vcpus, memory) = check_machine(request.vcpus, request.memory)?;
        domain::check_empty_disk(request.disk_size, "/disk_size_bytes")?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let iso = match request.iso_id {
            Some(id) => {
                let found = isos::visible(&change.conn(), op, id).await;
                Some(found.map_err(|error| error.at("/iso_id"))?)
            }
            None => None,
        };
        let location_id = request.location_id.or(iso.as_ref().map(|iso| iso.location_id));
        let host = choose(&change, request.hypervisor_id, location_id).await?;
        if let Some(iso) = &iso {
            require_devices(&host)?;
            let place = location::get(&change.conn(), host.hypervisor.location_id).await?.location;
            domain::mount(iso, &place)?;
        }
        let host = host.hypervisor;
        rules::require_online(&host, change.now)?;
        let (id, task_id) = (InstanceId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let new = NewInstance {
            id,
            account_id: op.account_id(),
            name: request.name.clone(),
            hypervisor_id: host.id,
            location_id: host.location_id,
            boot_source: BootSource::Disk,
            image_id: None,
            vcpus,
            memory,
            metadata: Metadata::default(),
            guest: GuestSystem {
                os_type: request.declared_os.map_or(OsType::Other, Into::into),
                ..GuestSystem::default()
            },
            declared_os: request.declared_os,
            disk_size: request.disk_size,
            iso: iso.map(|iso| IsoMount { iso_id: iso.id, boot: true }),
        };
        let record = InstanceRecord { instance: Instance::deploy(new, change.now), task_id: Some(task_id) };
        let disk = Disk {
            id: DiskId::new(self.new_uuid()),
            instance_id: id,
            primary: true,
            virtual_size: request.disk_size,
            format: DISK_FORMAT,
            allocated: None,
        };
        instance::insert(&change.tx, &record, &[disk]).await.db()?;
        change.instance_changed(&record).await?;
        let seed = Seed {
            instance_id: None,
            hostname: hostname(request.name.as_str()),
            ssh_keys: Vec::new(),
            user_data: None,
            user: None,
            config_drive: false,
        };
        let payload = TaskPayload::Deploy { seed, start: request.start, disk: None };
        let answer = queue(&mut change, op, payload, &record).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}
