//! Room for another attempt at a capture.

use imprint_domain::{Code, Error, rules, storage, storage::StorageRole};
use imprint_store::{image::ImageRecord, instance, instance::InstanceRecord, task::TaskRecord};

use crate::{
    change::Change,
    db_result::DbResult,
    storages::{candidates, reservation},
};

/// Reserves room for the image of a capture that is tried again: on its storage, or on another one
/// where that takes no images any more or is full. The image's row is changed, not written.
pub(crate) async fn reserve_again(
    change: &Change<'_>,
    record: &TaskRecord,
    instance: &InstanceRecord,
    image: &mut ImageRecord,
) -> Result<(), Error> {
    let conn = change.conn();
    let disks = instance::disks(&conn, instance.instance.id).await.db()?;
    let disk = disks
        .iter()
        .find(|disk| disk.primary)
        .ok_or_else(|| Error::new(Code::InstanceBusy, "the instance has no primary disk yet"))?;
    let needed = rules::image_upper_bound(disk);
    let hypervisor = instance.instance.hypervisor_id;
    let candidates = candidates::of_hypervisor(&conn, hypervisor, StorageRole::Customer).await?;
    let earlier = image.image.storage_id;
    let chosen = match storage::choose(&candidates, needed, Some(earlier), change.now) {
        Ok(chosen) => chosen,
        Err(_) => storage::choose(&candidates, needed, None, change.now)?,
    };
    let id = chosen.storage.id;
    if id != earlier {
        let key = image.image.storage_key.clone();
        image.image.relocate(id, key)?;
        reservation::release(change, record.task.id).await?;
    }
    reservation::reserve(change, record.task.id, id, needed).await
}
