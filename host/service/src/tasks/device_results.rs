//! What is written when a task that changes devices, or that registers an ISO, has succeeded.

use imprint_agent_protocol::IsoResult;
use imprint_domain::{Error, instance::Disk, iso::IsoStatus};
use imprint_store::{instance, iso, task::TaskRecord};

use crate::{
    change::Change,
    db_result::DbResult,
    tasks::{
        devices::{DISK_FORMAT, DeviceChange},
        lifecycle,
        payload::TaskPayload,
    },
};

/// Writes what a task has changed.
pub(super) async fn changed(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let TaskPayload::Devices(changed) = TaskPayload::of(record)? else { return Ok(()) };
    let Some(mut found) = lifecycle::instance_of(change, record).await? else { return Ok(()) };
    let instance_id = found.instance.id;
    match changed {
        DeviceChange::Mount(mount) => found.instance.set_iso(Some(mount)),
        DeviceChange::Eject => found.instance.set_iso(None),
        DeviceChange::Attach { disk_id, size } => {
            let disk = Disk {
                id: disk_id,
                instance_id,
                primary: false,
                virtual_size: size,
                format: DISK_FORMAT,
                allocated: None,
            };
            instance::insert_disk(&change.tx, &disk).await.db()?;
        }
        DeviceChange::Detach { disk_id } => instance::delete_disk(&change.tx, disk_id).await.db()?,
    }
    instance::update(&change.tx, &found).await.db()?;
    change.instance_changed(&found).await
}

/// Makes an ISO available whose file was read.
pub(super) async fn registered(
    change: &mut Change<'_>,
    record: &TaskRecord,
    result: IsoResult,
) -> Result<(), Error> {
    let Some(mut iso) = iso::of_task(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    iso.status = IsoStatus::Available;
    iso.stored = Some(result.stored);
    iso::update(&change.tx, &iso).await.db()?;
    change.iso_changed(iso.id).await
}
