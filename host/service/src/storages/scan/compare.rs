//! The comparison of objects with the images and the tasks of the database, as they are now.

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Error,
    id::StorageId,
    storage::ImageStorage,
    storage_scan::{Comparison, FoundObject, ObjectClass, classify, image_of_key},
    storage_test::TEST_PREFIX,
    time::Timestamp,
};
use imprint_store::{
    Conn, export,
    image::{self, ImageRecord},
    iso, storage, storage_scan,
    storage_scan::ObjectRecord,
    storage_use, task,
};

use crate::{change::Change, db_result::DbResult, tasks::payload::TaskPayload};

/// Decides what objects are. Those without a size are files that are not there; they stay as they
/// are. `since` is the start of the scan that found them: an image that a task worked on after it
/// may have had another key when the object was listed.
pub(super) async fn compare(
    conn: &Conn<'_>,
    storage: &ImageStorage,
    records: &mut [ObjectRecord],
    (since, now): (Timestamp, Timestamp),
) -> Result<(), Error> {
    let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
    let images = image::references_of_keys(conn, storage.id, &keys).await.db()?;
    let in_use = keys_in_use(conn, storage.id).await?;
    for record in &mut *records {
        let Some(size) = record.size else { continue };
        let image = images.get(&record.key);
        if image.is_some() {
            record.quarantined_at = None;
        }
        let found = FoundObject {
            key: &record.key,
            size,
            modified_at: record.modified_at,
            first_seen_at: record.first_seen_at,
            digest: record.digest.clone(),
            quarantined: record.quarantined_at.is_some(),
        };
        let by = Comparison { role: storage.role, in_use: in_use.contains(&record.key), now };
        record.class = classify(&found, image, by);
        record.image_id = image.map(|image| image.id);
    }
    spare_busy(conn, records, since).await
}

/// Spares what looks like an orphan of an image that a task works on, or has worked on since
/// `since`.
async fn spare_busy(conn: &Conn<'_>, records: &mut [ObjectRecord], since: Timestamp) -> Result<(), Error> {
    let of_orphan = |record: &ObjectRecord| {
        (record.class == ObjectClass::Orphan).then(|| image_of_key(&record.key)).flatten()
    };
    let images: BTreeSet<_> = records.iter().filter_map(of_orphan).collect();
    let images: Vec<_> = images.into_iter().collect();
    let busy = task::worked_on_since(conn, &images, since).await.db()?;
    for record in records {
        if of_orphan(record).is_some_and(|image| busy.contains(&image)) {
            record.class = ObjectClass::InProgress;
        }
    }
    Ok(())
}

/// Returns the keys that tasks of a storage refer to which are not over, and those of ISOs and
/// exports.
pub(super) async fn keys_in_use(conn: &Conn<'_>, id: StorageId) -> Result<BTreeSet<String>, Error> {
    let mut keys = keys_of_tasks(conn, id).await?;
    keys.extend(iso::keys_of_storage(conn, id).await.db()?);
    keys.extend(export::keys_of_storage(conn, id).await.db()?);
    Ok(keys)
}

async fn keys_of_tasks(conn: &Conn<'_>, id: StorageId) -> Result<BTreeSet<String>, Error> {
    let mut keys = BTreeSet::new();
    for task_id in storage_use::active(conn, id, None).await.db()? {
        let Some(record) = task::get(conn, task_id).await.db()? else { continue };
        match TaskPayload::of(&record)? {
            TaskPayload::Move { to, key } if to == id => {
                keys.insert(key);
            }
            TaskPayload::Object { storage_id, key, .. } if storage_id == id => {
                keys.insert(key);
            }
            TaskPayload::Clean { storage_id, keys: removed } if storage_id == id => keys.extend(removed),
            TaskPayload::StorageTest(subject) if subject.storage_id == Some(id) => {
                keys.insert(format!("{TEST_PREFIX}{}", task_id.uuid()));
            }
            // Its key is in the row of the export.
            TaskPayload::Export { .. }
            | TaskPayload::Plain
            | TaskPayload::Capture { .. }
            | TaskPayload::Import { .. }
            | TaskPayload::Deploy { .. }
            | TaskPayload::Move { .. }
            | TaskPayload::Object { .. }
            | TaskPayload::Scan { .. }
            | TaskPayload::Clean { .. }
            | TaskPayload::Iso { .. }
            | TaskPayload::Devices(_)
            | TaskPayload::StorageTest(_) => {}
        }
    }
    Ok(keys)
}

/// Returns whether a task that is not over is removing that object, or works with it.
pub(crate) async fn is_being_removed(conn: &Conn<'_>, id: StorageId, key: &str) -> Result<bool, Error> {
    Ok(keys_of_tasks(conn, id).await?.contains(key))
}

/// Compares the object of an image again whose row has changed, if a scan has found it.
pub(crate) async fn compare_again(change: &Change<'_>, record: &ImageRecord) -> Result<(), Error> {
    let (id, key) = (record.image.storage_id, record.image.storage_key.as_str());
    compare_keys(change, id, &[key]).await
}

/// Compares objects of a storage again, as far as a scan has found them.
pub(super) async fn compare_keys(change: &Change<'_>, id: StorageId, keys: &[&str]) -> Result<(), Error> {
    let conn = change.conn();
    let Some(storage) = storage::get(&conn, id).await.db()? else { return Ok(()) };
    let found: BTreeMap<_, _> = storage_scan::objects_of_keys(&conn, id, keys).await.db()?;
    let mut records: Vec<ObjectRecord> = found.into_values().collect();
    compare(&conn, &storage.storage, &mut records, (change.now, change.now)).await?;
    storage_scan::put_objects(&change.tx, &records).await.db()
}
