//! The drive and the further disks of an instance: mount, eject, attach, detach (S16, S111).

use imprint_domain::{
    Code, Error,
    id::{DiskId, InstanceId, IsoId},
    iso::{self as domain, IsoMount},
    rules,
    size::ByteSize,
    task::TaskKind,
};
use imprint_store::{
    hypervisor::HypervisorRecord,
    instance::{self, InstanceRecord},
};

use crate::{
    InstanceTask, Op, Service,
    catalogue::{hypervisor, location},
    change::Change,
    db_result::DbResult,
    idempotency,
    instances::instance::{Work, queue_work, visible},
    isos,
    tasks::{devices::DeviceChange, lifecycle, payload::TaskPayload},
    validate::require_idle,
};

/// Refuses a hypervisor whose driver does not change devices.
pub(super) fn require_devices(host: &HypervisorRecord) -> Result<(), Error> {
    if host.changes_devices {
        return Ok(());
    }
    Err(Error::new(
        Code::DevicesNotSupported,
        "its driver has no drive for ISOs and attaches no further disks; use another hypervisor",
    ))
}

impl Service {
    /// Puts an ISO into the drive of an instance, instead of what is in it: of a running one at
    /// once, of a stopped one at its next start.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; the codes of [`domain::mount`]; [`Code::DevicesNotSupported`];
    /// [`Code::InstanceBusy`]; [`Code::HypervisorOffline`]; an error of the database.
    pub async fn instance_mount_iso(
        &self,
        op: &Op,
        id: InstanceId,
        iso_id: IsoId,
        boot: bool,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = changeable(&change, op, id).await?;
        let iso = isos::visible(&change.conn(), op, iso_id).await.map_err(|error| error.at("/iso_id"))?;
        let place = location::get(&change.conn(), record.instance.location_id).await?.location;
        domain::mount(&iso, &place)?;
        let mount = DeviceChange::Mount(IsoMount { iso_id, boot });
        finish(change, op, record, (TaskKind::InstanceMountIso, mount)).await
    }

    /// Takes the ISO out of the drive of an instance.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; [`Code::InvalidTransition`] when the drive is empty; [`Code::DevicesNotSupported`];
    /// [`Code::InstanceBusy`]; [`Code::HypervisorOffline`]; an error of the database.
    pub async fn instance_eject_iso(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = changeable(&change, op, id).await?;
        if record.instance.iso.is_none() {
            return Err(lifecycle::invalid_transition("the instance has no ISO in its drive"));
        }
        finish(change, op, record, (TaskKind::InstanceEjectIso, DeviceChange::Eject)).await
    }

    /// Attaches an empty disk to an instance: to a running one at once, to a stopped one at its
    /// next start. Images of the instance do not contain it (S16).
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; [`Code::InvalidRequest`] for a size that disks do not have;
    /// [`Code::DiskLimitReached`]; [`Code::DevicesNotSupported`]; [`Code::InstanceBusy`];
    /// [`Code::HypervisorOffline`]; an error of the database.
    pub async fn instance_attach_disk(
        &self,
        op: &Op,
        id: InstanceId,
        size: ByteSize,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        domain::check_empty_disk(size, "/size_bytes")?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = changeable(&change, op, id).await?;
        domain::attach_disk(&record.instance, &instance::disks(&change.conn(), id).await.db()?)?;
        let disk_id = DiskId::new(self.new_uuid());
        let attach = DeviceChange::Attach { disk_id, size };
        finish(change, op, record, (TaskKind::InstanceAttachDisk, attach)).await
    }

    /// Detaches a disk from an instance and removes it with its content.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; [`Code::InvalidRequest`] for the primary disk; [`Code::DevicesNotSupported`];
    /// [`Code::InstanceBusy`]; [`Code::HypervisorOffline`]; an error of the database.
    pub async fn instance_detach_disk(
        &self,
        op: &Op,
        id: InstanceId,
        disk_id: DiskId,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let record = changeable(&change, op, id).await?;
        let disks = instance::disks(&change.conn(), id).await.db()?;
        let disk = disks.iter().find(|disk| disk.id == disk_id).ok_or_else(|| Error::not_found("disk"))?;
        domain::detach_disk(&record.instance, disk)?;
        finish(change, op, record, (TaskKind::InstanceDetachDisk, DeviceChange::Detach { disk_id })).await
    }
}

/// Reads an instance whose devices can be changed now.
async fn changeable(change: &Change<'_>, op: &Op, id: InstanceId) -> Result<InstanceRecord, Error> {
    let record = visible(&change.conn(), op, id).await?;
    record.instance.require_ready()?;
    require_idle(&change.conn(), id).await?;
    let host = hypervisor::get(&change.conn(), record.instance.hypervisor_id).await?;
    require_devices(&host)?;
    rules::require_online(&host.hypervisor, change.now)?;
    Ok(record)
}

/// Queues the task and ends the request.
async fn finish(
    mut change: Change<'_>,
    op: &Op,
    record: InstanceRecord,
    (kind, wanted): (TaskKind, DeviceChange),
) -> Result<InstanceTask, Error> {
    let work = Work { kind, image_id: None, payload: TaskPayload::Devices(wanted) };
    let answer = queue_work(&mut change, op, record, work).await?;
    idempotency::remember(&change, op, &answer).await?;
    change.commit().await?;
    Ok(answer)
}
