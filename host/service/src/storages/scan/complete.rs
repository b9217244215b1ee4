//! The end of a scan: the images whose file was not found, and a second look at what seemed wrong.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    id::{ImageId, TaskId},
    image::ImageStatus,
    size::ByteSize,
    storage::ImageStorage,
    storage_scan::{ImageReference, ObjectClass, ScanState},
};
use imprint_store::{
    Conn, image, storage, storage_scan,
    storage_scan::{ObjectFilter, ObjectRecord, ScanRecord},
    task,
    task::TaskRecord,
};

use super::{
    compare::{compare, keys_in_use},
    verify::queue_verification,
};
use crate::{change::Change, db_result::DbResult};

/// The number of rows that are read at once.
const PAGE: u32 = 500;
/// How long scans are remembered, in days.
pub(super) const KEPT_DAYS: u32 = 90;
/// The most images of 0 bytes that one scan has repaired.
const MAX_REPAIRS: u32 = 100;

/// An available image whose file a scan did not find.
#[derive(Clone, Debug)]
pub(crate) struct Unlisted {
    image_id: ImageId,
    key: String,
}

/// Looks for the images of a scan's storage whose file was not found. Reads every image of the
/// storage, so it is done before the transaction that ends the scan, which looks at them again.
pub(crate) async fn unlisted(conn: &Conn<'_>, id: TaskId) -> Result<Vec<Unlisted>, Error> {
    let Some(scan) = storage_scan::get(conn, id).await.db()? else { return Ok(Vec::new()) };
    let mut unlisted = Vec::new();
    let mut after = None;
    loop {
        let page = image::references_of_storage(conn, scan.storage_id, after, PAGE).await.db()?;
        let Some((_, last)) = page.last() else { return Ok(unlisted) };
        after = Some(last.id);
        let keys: Vec<&str> = page.iter().map(|(key, _)| key.as_str()).collect();
        let found = storage_scan::objects_of_keys(conn, scan.storage_id, &keys).await.db()?;
        for (key, image) in &page {
            let listed = found.get(key).is_some_and(|object| is_of(object, &scan));
            if image.status == ImageStatus::Available && !listed {
                unlisted.push(Unlisted { image_id: image.id, key: key.clone() });
            }
        }
    }
}

fn is_of(object: &ObjectRecord, scan: &ScanRecord) -> bool {
    object.scan_id == scan.id && object.fence == scan.fence && object.size.is_some()
}

/// Ends the scan of a task that listed everything.
pub(crate) async fn complete(
    change: &mut Change<'_>,
    record: &TaskRecord,
    unlisted: Vec<Unlisted>,
) -> Result<(), Error> {
    let Some(mut scan) = storage_scan::get(&change.conn(), record.task.id).await.db()? else { return Ok(()) };
    let Some(storage) = storage::get(&change.conn(), scan.storage_id).await.db()? else { return Ok(()) };
    // An empty storage has no report that would have said it.
    scan.fence = record.task.finished_fence;
    storage_scan::remove_unseen(&change.tx, &scan).await.db()?;
    add_missing(change, &scan, unlisted).await?;
    look_again(change, &scan, &storage.storage).await?;
    scan.classes = storage_scan::count(&change.conn(), scan.storage_id).await.db()?;
    let there = scan.classes.iter().filter(|(class, _)| **class != ObjectClass::Missing);
    (scan.objects, scan.bytes) =
        there.fold((0, 0), |(objects, bytes), (_, count)| (objects + count.count, bytes + count.bytes));
    scan.state = ScanState::Complete;
    scan.finished_at = Some(change.now);
    storage_scan::update(&change.tx, &scan).await.db()?;
    let before = change.now - TimeDelta::days(i64::from(KEPT_DAYS));
    storage_scan::remove_before(&change.tx, scan.storage_id, before).await.db()?;
    change.storage_changed(scan.storage_id).await?;
    warn_of_faults(&storage.storage, &scan);
    repair_empty(change, record, &scan).await
}

/// Writes a row for each image that has no file: those that no task has worked on since the start
/// of the scan, and that still are where they were.
async fn add_missing(change: &Change<'_>, scan: &ScanRecord, unlisted: Vec<Unlisted>) -> Result<(), Error> {
    let conn = change.conn();
    let in_use = keys_in_use(&conn, scan.storage_id).await?;
    for page in unlisted.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
        let keys: Vec<&str> = page.iter().map(|image| image.key.as_str()).collect();
        let ids: Vec<ImageId> = page.iter().map(|image| image.image_id).collect();
        let images = image::references_of_keys(&conn, scan.storage_id, &keys).await.db()?;
        let busy = task::worked_on_since(&conn, &ids, scan.started_at).await.db()?;
        let is_missing = |image: &&Unlisted| {
            let still = images.get(&image.key).is_some_and(|found| is_available(found, image));
            still && !busy.contains(&image.image_id) && !in_use.contains(&image.key)
        };
        let rows: Vec<ObjectRecord> =
            page.iter().filter(is_missing).map(|image| missing(scan, image, change)).collect();
        storage_scan::put_objects(&change.tx, &rows).await.db()?;
    }
    Ok(())
}

fn is_available(found: &ImageReference, image: &Unlisted) -> bool {
    found.id == image.image_id && found.status == ImageStatus::Available
}

fn missing(scan: &ScanRecord, image: &Unlisted, change: &Change<'_>) -> ObjectRecord {
    ObjectRecord {
        storage_id: scan.storage_id,
        key: image.key.clone(),
        scan_id: scan.id,
        fence: scan.fence,
        size: None,
        modified_at: None,
        first_seen_at: change.now,
        class: ObjectClass::Missing,
        image_id: Some(image.image_id),
        digest: None,
        digest_at: None,
        quarantined_at: None,
    }
}

/// Compares what seemed wrong or unfinished again: it was compared when it was listed.
async fn look_again(change: &Change<'_>, scan: &ScanRecord, storage: &ImageStorage) -> Result<(), Error> {
    let mut filter = ObjectFilter {
        classes: vec![
            ObjectClass::InProgress,
            ObjectClass::Orphan,
            ObjectClass::Foreign,
            ObjectClass::SizeMismatch,
            ObjectClass::DigestMismatch,
        ],
        limit: PAGE,
        ..ObjectFilter::default()
    };
    loop {
        let page = storage_scan::objects(&change.conn(), storage.id, &filter).await.db()?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.key.clone());
        compare_page(change, scan, storage, page).await?;
    }
    // Images that were deleted or moved away after their file was listed.
    let mut after: Option<String> = None;
    loop {
        let (conn, id) = (change.conn(), storage.id);
        let page = storage_scan::objects_of_former_images(&conn, id, after.as_deref(), PAGE).await.db()?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        compare_page(change, scan, storage, page).await?;
    }
}

async fn compare_page(
    change: &Change<'_>,
    scan: &ScanRecord,
    storage: &ImageStorage,
    page: Vec<ObjectRecord>,
) -> Result<(), Error> {
    let mut again = page.clone();
    compare(&change.conn(), storage, &mut again, (scan.started_at, change.now)).await?;
    let changed: Vec<ObjectRecord> =
        again.into_iter().zip(page).filter(|(now, before)| now != before).map(|(now, _)| now).collect();
    storage_scan::put_objects(&change.tx, &changed).await.db()
}

fn warn_of_faults(storage: &ImageStorage, scan: &ScanRecord) {
    for (class, count) in scan.classes.iter().filter(|(class, _)| class.is_fault()) {
        tracing::warn!(
            storage = %storage.id, name = %storage.name, %class, count = count.count, bytes = count.bytes,
            "a scan of an image storage found objects that an admin has to look at",
        );
    }
}

/// Has images read again that are recorded with 0 bytes though their file has some (S128).
async fn repair_empty(change: &mut Change<'_>, by: &TaskRecord, scan: &ScanRecord) -> Result<(), Error> {
    let filter = ObjectFilter {
        classes: vec![ObjectClass::SizeMismatch],
        limit: MAX_REPAIRS,
        ..ObjectFilter::default()
    };
    for object in storage_scan::objects(&change.conn(), scan.storage_id, &filter).await.db()? {
        let Some(id) = object.image_id else { continue };
        let Some(found) = image::get(&change.conn(), id).await.db()? else { continue };
        let empty = found.image.stored.as_ref().is_some_and(|stored| stored.size == ByteSize::ZERO);
        if empty {
            let by = (by.task.account_id, by.task.request_id);
            queue_verification(change, by, &found, scan.hypervisor_id).await?;
        }
    }
    Ok(())
}
