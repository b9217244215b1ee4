//! Starting scans, and what they found.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    digest::StoredDigest,
    id::{AccountId, HypervisorId, ImageId, RequestId, StorageId, TaskId},
    image::ImageStatus,
    name::Name,
    size::ByteSize,
    storage_scan::{ClassCount, ObjectAction, ObjectClass, QUARANTINE_DAYS, ScanState},
    task::TaskKind,
    time::Timestamp,
};
use imprint_store::{
    Conn, image, storage,
    storage_scan::{self, ObjectFilter, ObjectRecord, ScanRecord},
    task::{self, TaskRecord},
};

use crate::{
    Op, Page, PageRequest, Service, TaskView,
    catalogue::hypervisor,
    change::Change,
    db_result::DbResult,
    images::image::hypervisor_reaching_storage,
    page::Listing,
    storages::{reservation, view::get},
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
        task::{Audience, view_for},
    },
};

/// The number of scans of a storage that are shown.
const SHOWN: u32 = 20;

/// The task of a scan.
#[derive(Clone, Debug)]
pub struct ScanTask {
    /// The task.
    pub task: TaskView,
    /// Whether it was queued before.
    pub replayed: bool,
}

/// A scan of an image storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanView {
    /// The task that carries it out.
    pub id: TaskId,
    /// The hypervisor whose agent lists the storage.
    pub hypervisor_id: HypervisorId,
    /// Whether the files of images are read and their digests compared.
    pub deep: bool,
    /// How far it is.
    pub state: ScanState,
    /// The number of objects that were found.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// What they are, once the scan is complete.
    pub classes: BTreeMap<ObjectClass, ClassCount>,
    /// When it was requested.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl From<ScanRecord> for ScanView {
    fn from(record: ScanRecord) -> Self {
        Self {
            id: record.id,
            hypervisor_id: record.hypervisor_id,
            deep: record.deep,
            state: record.state,
            objects: record.objects,
            bytes: record.bytes,
            classes: record.classes,
            started_at: record.started_at,
            finished_at: record.finished_at,
        }
    }
}

/// The objects to list.
#[derive(Clone, Debug)]
pub struct ObjectList {
    /// The storage.
    pub storage_id: StorageId,
    /// The accepted classes; empty accepts all.
    pub classes: Vec<ObjectClass>,
    /// What the keys begin with.
    pub prefix: String,
    /// The page.
    pub page: PageRequest,
}

/// An object of an image storage, as the last scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectView {
    /// The object's key.
    pub key: String,
    /// The size in bytes; `None` for a file that is not there.
    pub size: Option<ByteSize>,
    /// When it was changed, where the storage says so.
    pub modified_at: Option<Timestamp>,
    /// When a scan first found it.
    pub first_seen_at: Timestamp,
    /// What it is.
    pub class: ObjectClass,
    /// The image that it belongs to.
    pub image: Option<ObjectImage>,
    /// The digest of its bytes, when a deep scan read them.
    pub digest: Option<StoredDigest>,
    /// When they were read.
    pub digest_at: Option<Timestamp>,
    /// When a quarantined object will be deleted.
    pub delete_after: Option<Timestamp>,
    /// What can be done about it.
    pub actions: &'static [ObjectAction],
}

/// The image of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectImage {
    /// The image's id.
    pub id: ImageId,
    /// The image's name.
    pub name: Name,
    /// The status of the image.
    pub status: ImageStatus,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The size of its file in bytes, as it was recorded.
    pub size: Option<ByteSize>,
}

impl Service {
    /// Starts a scan of an image storage: queues a task of an agent that can reach it, or returns
    /// the scan that has not ended yet. A deep scan reads the files of the images as well. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::NoImageStorageBound`] for a storage that no hypervisor reaches;
    /// [`Code::InvalidRequest`] for a hypervisor that it is not bound to; an error of the database.
    pub async fn storage_scan(
        &self,
        op: &Op,
        id: StorageId,
        deep: bool,
        hypervisor_id: Option<HypervisorId>,
    ) -> Result<ScanTask, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        get(&change.conn(), id).await?;
        if let Some(active) = active_task(&change.conn(), id).await? {
            let task = view_for(&change.conn(), &active, change.now, Audience::of(op)).await?;
            return Ok(ScanTask { task, replayed: true });
        }
        let hypervisor_id = match hypervisor_id {
            Some(chosen) => require_bound(&change.conn(), id, chosen).await?,
            None => hypervisor_reaching_storage(&change, id).await?,
        };
        let by = (op.account_id(), op.request_id);
        let task = queue_scan(&mut change, by, (id, hypervisor_id), deep).await?;
        change.audit(op, "storage.scan", id).await?;
        let task = view_for(&change.conn(), &task, change.now, Audience::of(op)).await?;
        change.commit().await?;
        Ok(ScanTask { task, replayed: false })
    }

    /// Returns the latest scans of an image storage, latest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`]; an error of the
    /// database.
    pub async fn storage_scans(&self, op: &Op, id: StorageId) -> Result<Vec<ScanView>, Error> {
        op.require_admin()?;
        let conn = self.read();
        get(&conn, id).await?;
        let scans = storage_scan::latest(&conn, id, None, SHOWN).await.db()?;
        Ok(scans.into_iter().map(ScanView::from).collect())
    }

    /// Returns a page of what the last scan found on an image storage, by key. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PageTokenInvalid`]; an error of the database.
    pub async fn storage_objects(&self, op: &Op, list: &ObjectList) -> Result<Page<ObjectView>, Error> {
        op.require_admin()?;
        let conn = self.read();
        get(&conn, list.storage_id).await?;
        let what = format!("objects {} {:?} {:?}", list.storage_id, list.classes, list.prefix);
        let listing = Listing::new(&list.page, &what)?;
        let filter = ObjectFilter {
            classes: list.classes.clone(),
            prefix: list.prefix.clone(),
            after: listing.after()?,
            limit: listing.rows(),
        };
        let rows = storage_scan::objects(&conn, list.storage_id, &filter).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |row| row.key.clone())?;
        Ok(Page { items: views(&conn, rows).await?, next_page_token })
    }
}

async fn require_bound(conn: &Conn<'_>, id: StorageId, chosen: HypervisorId) -> Result<HypervisorId, Error> {
    let at = "/hypervisor_id";
    hypervisor::get(conn, chosen).await.map_err(|error| error.at(at))?;
    if storage::bound_hypervisors(conn, id).await.db()?.contains(&chosen) {
        return Ok(chosen);
    }
    let detail = "the storage is not bound to this hypervisor; bind it, or choose another one";
    Err(Error::new(Code::InvalidRequest, detail).at(at))
}

async fn views(conn: &Conn<'_>, rows: Vec<ObjectRecord>) -> Result<Vec<ObjectView>, Error> {
    let ids: BTreeSet<ImageId> = rows.iter().filter_map(|row| row.image_id).collect();
    let ids: Vec<ImageId> = ids.into_iter().collect();
    let images = image::of_ids(conn, &ids).await.db()?;
    let image_of = |id: ImageId| {
        images.iter().find(|record| record.image.id == id).map(|record| ObjectImage {
            id,
            name: record.image.name.clone(),
            status: record.image.status,
            account_id: record.image.account_id,
            size: record.image.stored.as_ref().map(|stored| stored.size),
        })
    };
    Ok(rows
        .into_iter()
        .map(|row| ObjectView {
            image: row.image_id.and_then(image_of),
            delete_after: row.quarantined_at.map(|at| at + TimeDelta::days(QUARANTINE_DAYS)),
            actions: row.class.actions(),
            key: row.key,
            size: row.size,
            modified_at: row.modified_at,
            first_seen_at: row.first_seen_at,
            class: row.class,
            digest: row.digest,
            digest_at: row.digest_at,
        })
        .collect())
}

/// Returns the task of the scan of a storage that has not ended yet.
pub(super) async fn active_task(conn: &Conn<'_>, id: StorageId) -> Result<Option<TaskRecord>, Error> {
    match storage_scan::latest(conn, id, Some(ScanState::Active), 1).await.db()?.first() {
        Some(scan) => task::get(conn, scan.id).await.db(),
        None => Ok(None),
    }
}

/// Queues a scan of a storage on a hypervisor.
pub(super) async fn queue_scan(
    change: &mut Change<'_>,
    (account_id, request_id): (AccountId, RequestId),
    (storage_id, hypervisor_id): (StorageId, HypervisorId),
    deep: bool,
) -> Result<TaskRecord, Error> {
    let id = TaskId::new(change.service.new_uuid());
    let new = NewTask {
        account_id,
        kind: TaskKind::StorageScan,
        image_id: None,
        instance_id: None,
        hypervisor_id,
        payload: TaskPayload::Scan { storage_id },
        request_id,
    };
    let task = lifecycle::new_task(change, id, new)?;
    lifecycle::queue(change, &task).await?;
    reservation::reserve(change, id, storage_id, ByteSize::ZERO).await?;
    let scan = ScanRecord {
        id,
        storage_id,
        hypervisor_id,
        deep,
        state: ScanState::Active,
        fence: 0,
        objects: 0,
        bytes: 0,
        classes: BTreeMap::new(),
        started_at: change.now,
        finished_at: None,
    };
    storage_scan::insert(&change.tx, &scan).await.db()?;
    Ok(task)
}
