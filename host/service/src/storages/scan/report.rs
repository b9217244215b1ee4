//! What agents report while they scan.

use std::collections::BTreeMap;

use chrono::DateTime;
use imprint_agent_protocol::{MAX_SCANNED_OBJECTS, ProtocolError, ScanReport, ScanResponse, ScannedObject};
use imprint_domain::{
    Error, digest::StoredDigest, id::HypervisorId, size::ByteSize, storage::ImageStorage,
    storage_scan::ObjectClass, task::TaskState, time::Timestamp,
};
use imprint_store::{
    storage,
    storage_scan::{self, ObjectRecord, ScanRecord},
    task,
};

use super::compare::compare;
use crate::{
    Service,
    change::Change,
    db_result::DbResult,
    tasks::lease::{refused, unavailable},
};

/// The longest key, in bytes.
const MAX_KEY: usize = 4096;

/// Takes over what an agent found. A report under a lease that was lost changes nothing.
pub(crate) async fn scanned(
    service: &Service,
    hypervisor_id: HypervisorId,
    report: ScanReport,
) -> Result<ScanResponse, ProtocolError> {
    let too_many = report.objects.len() > MAX_SCANNED_OBJECTS || report.digests.len() > MAX_SCANNED_OBJECTS;
    if too_many || report.objects.iter().any(|object| object.key.len() > MAX_KEY) {
        return Err(refused(format!(
            "a report has at most {MAX_SCANNED_OBJECTS} objects with keys of at most {MAX_KEY} bytes"
        )));
    }
    let change = Change::begin(service).await.map_err(unavailable)?;
    let lease = report.lease;
    let found = task::get(&change.conn(), lease.task_id).await.db().map_err(unavailable)?;
    let held = found.is_some_and(|record| {
        let task = &record.task;
        let current = task.lease.is_some_and(|held| held.fence == lease.fence);
        current && task.hypervisor_id == hypervisor_id && task.state == TaskState::Running
    });
    if !held {
        return Err(ProtocolError::LeaseLost);
    }
    let scan = storage_scan::get(&change.conn(), lease.task_id).await.db().map_err(unavailable)?;
    let mut scan = scan.ok_or_else(|| refused("the task is no scan of an image storage"))?;
    // Another attempt starts anew.
    scan.fence = lease.fence;
    storage_scan::update(&change.tx, &scan).await.db().map_err(unavailable)?;
    let answer = take_over(&change, &scan, report).await.map_err(unavailable)?;
    change.commit().await.map_err(unavailable)?;
    Ok(answer)
}

async fn take_over(
    change: &Change<'_>,
    scan: &ScanRecord,
    report: ScanReport,
) -> Result<ScanResponse, Error> {
    let Some(storage) = storage::get(&change.conn(), scan.storage_id).await.db()? else {
        return Ok(ScanResponse::default());
    };
    let digest = objects(change, scan, &storage.storage, report.objects).await?;
    let digests = report.digests.into_iter().map(|digest| (digest.key, digest.digest)).collect();
    add_digests(change, scan, &storage.storage, digests).await?;
    Ok(ScanResponse { digest })
}

/// Writes objects, and returns the keys of those whose bytes are to be read.
async fn objects(
    change: &Change<'_>,
    scan: &ScanRecord,
    storage: &ImageStorage,
    objects: Vec<ScannedObject>,
) -> Result<Vec<String>, Error> {
    let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    let mut known = storage_scan::objects_of_keys(&change.conn(), storage.id, &keys).await.db()?;
    let mut records: BTreeMap<String, ObjectRecord> = BTreeMap::new();
    for object in objects {
        let before = known.remove(&object.key);
        let record = record_of(scan, object, before, change.now);
        records.insert(record.key.clone(), record);
    }
    let mut records: Vec<ObjectRecord> = records.into_values().collect();
    compare(&change.conn(), storage, &mut records, (scan.started_at, change.now)).await?;
    storage_scan::put_objects(&change.tx, &records).await.db()?;
    let is_read = |record: &&ObjectRecord| {
        scan.deep && matches!(record.class, ObjectClass::Image | ObjectClass::StaleParent)
    };
    Ok(records.iter().filter(is_read).map(|record| record.key.clone()).collect())
}

fn record_of(
    scan: &ScanRecord,
    object: ScannedObject,
    before: Option<ObjectRecord>,
    now: Timestamp,
) -> ObjectRecord {
    let size = ByteSize::new(object.size.min(i64::MAX.cast_unsigned())).unwrap_or(ByteSize::ZERO);
    let modified_at =
        object.modified_ms.and_then(|ms| i64::try_from(ms).ok()).and_then(DateTime::from_timestamp_millis);
    let found = ObjectRecord {
        storage_id: scan.storage_id,
        key: object.key,
        scan_id: scan.id,
        fence: scan.fence,
        size: Some(size),
        modified_at,
        first_seen_at: now,
        class: ObjectClass::InProgress,
        image_id: None,
        digest: None,
        digest_at: None,
        quarantined_at: None,
    };
    let Some(before) = before.filter(|before| before.size.is_some()) else { return found };
    let unchanged = before.size == found.size && before.modified_at == found.modified_at;
    // A deep scan reads everything anew; what an earlier one read stays true while nothing changes.
    let keep = unchanged && !scan.deep;
    ObjectRecord {
        first_seen_at: before.first_seen_at,
        quarantined_at: before.quarantined_at,
        digest: before.digest.filter(|_| keep),
        digest_at: before.digest_at.filter(|_| keep),
        ..found
    }
}

async fn add_digests(
    change: &Change<'_>,
    scan: &ScanRecord,
    storage: &ImageStorage,
    digests: BTreeMap<String, StoredDigest>,
) -> Result<(), Error> {
    if digests.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = digests.keys().map(String::as_str).collect();
    let known = storage_scan::objects_of_keys(&change.conn(), storage.id, &keys).await.db()?;
    let mut records: Vec<ObjectRecord> = known
        .into_values()
        .map(|record| ObjectRecord {
            digest: digests.get(&record.key).cloned(),
            digest_at: Some(change.now),
            ..record
        })
        .collect();
    compare(&change.conn(), storage, &mut records, (scan.started_at, change.now)).await?;
    storage_scan::put_objects(&change.tx, &records).await.db()
}
