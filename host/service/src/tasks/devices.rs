//! Tasks that change the devices of an instance: what they change, and what their agent gets. And
//! the status of an ISO that is registered.

use imprint_agent_protocol::{Devices, DevicesAssignment, FurtherDisk, InstanceRef, IsoRef, Medium};
use imprint_domain::{
    Error,
    id::{DiskId, InstanceId, IsoId},
    image::ImageFormat,
    iso::{IsoMount, IsoStatus},
    size::ByteSize,
    task::Task,
};
use imprint_store::{instance, iso, storage, task::TaskRecord};
use serde::{Deserialize, Serialize};

use crate::{change::Change, db_result::DbResult, objects, tasks::storage_ref::storage_ref};

/// A change of an instance's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum DeviceChange {
    /// Put an ISO into the drive.
    Mount(IsoMount),
    /// Take the ISO out of the drive.
    Eject,
    /// Attach an empty disk.
    Attach {
        /// The id that the disk gets.
        disk_id: DiskId,
        /// Its size.
        size: ByteSize,
    },
    /// Detach a disk and remove it.
    Detach {
        /// The disk.
        disk_id: DiskId,
    },
}

/// The format of further disks.
pub(super) const DISK_FORMAT: ImageFormat = ImageFormat::Qcow2;

/// Returns the devices that an instance has, with a change of them if there is one.
pub(crate) async fn devices(
    change: &Change<'_>,
    task: &Task,
    id: InstanceId,
    changed: Option<DeviceChange>,
) -> Result<Devices, Error> {
    let conn = &change.conn();
    let record = instance::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("instance"))?;
    let disks = instance::disks(conn, id).await.db()?;
    let further = disks.into_iter().filter(|disk| !disk.primary);
    let mut disks: Vec<FurtherDisk> = further
        .map(|disk| FurtherDisk { id: disk.id, format: disk.format, size: disk.virtual_size })
        .collect();
    let mut mount = record.instance.iso;
    match changed {
        Some(DeviceChange::Mount(wanted)) => mount = Some(wanted),
        Some(DeviceChange::Eject) => mount = None,
        Some(DeviceChange::Attach { disk_id, size }) => {
            disks.push(FurtherDisk { id: disk_id, format: DISK_FORMAT, size });
        }
        Some(DeviceChange::Detach { disk_id }) => disks.retain(|disk| disk.id != disk_id),
        None => {}
    }
    let medium = match mount {
        Some(mount) => Some(medium(change, task, mount).await?),
        None => None,
    };
    Ok(Devices { disks, medium })
}

async fn medium(change: &Change<'_>, task: &Task, mount: IsoMount) -> Result<Medium, Error> {
    let iso = iso::get(&change.conn(), mount.iso_id).await.db()?;
    let iso = iso.ok_or_else(|| Error::not_found("ISO"))?;
    let stored = iso.require_available()?;
    let object = objects::WantedObject {
        storage_id: iso.storage_id,
        key: &iso.storage_key,
        by: task.hypervisor_id,
        purpose: &task.id.to_string(),
        until: task.deadline,
    };
    let source = objects::source_of_object(change.service, &change.conn(), &object, change.now).await?;
    Ok(Medium {
        iso: iso_ref(change, mount.iso_id).await?,
        size: stored.size,
        digest: stored.digest.clone(),
        source,
        boot: mount.boot,
    })
}

/// Returns the file of an ISO as an agent needs it.
pub(crate) async fn iso_ref(change: &Change<'_>, id: IsoId) -> Result<IsoRef, Error> {
    let iso = iso::get(&change.conn(), id).await.db()?.ok_or_else(|| Error::not_found("ISO"))?;
    let found = storage::get(&change.conn(), iso.storage_id).await.db()?;
    let storage = found.ok_or_else(|| Error::not_found("image storage"))?;
    Ok(IsoRef { id, storage: storage_ref(&storage), key: iso.storage_key })
}

/// Returns the work of a task that changes devices.
pub(crate) async fn assignment(
    change: &Change<'_>,
    task: &Task,
    instance: InstanceRef,
    changed: DeviceChange,
) -> Result<DevicesAssignment, Error> {
    let devices = devices(change, task, instance.id, Some(changed)).await?;
    Ok(DevicesAssignment { instance, devices })
}

/// Puts the ISO of a registration that did not succeed in error, or back where the registration
/// begins.
pub(super) async fn set_status(
    change: &mut Change<'_>,
    record: &TaskRecord,
    status: IsoStatus,
) -> Result<(), Error> {
    let Some(mut iso) = iso::of_task(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    iso.status = status;
    iso::update(&change.tx, &iso).await.db()?;
    change.iso_changed(iso.id).await
}
