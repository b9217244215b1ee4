//! What admins have done about what a scan found: first as a plan, then for real.
//!
//! A plan is what applying it would do, made by the same code in a transaction that is not
//! committed. Every object is compared again first: what changed since the scan is left alone, with
//! the reason.

use std::collections::BTreeMap;

use imprint_agent_protocol::MAX_CLEANED;
use imprint_domain::{
    Code, Error,
    id::{AccountId, HypervisorId, RequestId, StorageId, TaskId},
    size::ByteSize,
    storage::ImageStorage,
    storage_scan::{ObjectAction, ObjectClass, ScanState},
    task::TaskKind,
};
use imprint_store::{
    image, storage_scan,
    storage_scan::{ObjectFilter, ObjectRecord},
    task::TaskRecord,
};

use super::{compare::compare, verify::queue_verification};
use crate::{
    Op, Service,
    change::Change,
    db_result::DbResult,
    images::image::hypervisor_reaching_storage,
    storages::{reservation, view::get},
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
};

/// The most objects that one request changes; the next request continues.
const MAX_CHANGED: usize = 2000;
/// The number of rows that are read at once.
const PAGE: u32 = 500;
/// The most keys that are named for each entry of a report, and the most refusals.
const MAX_NAMED: usize = 20;

/// The objects that something is done about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectSelection {
    /// All objects of a class.
    Class(ObjectClass),
    /// The objects with these keys.
    Keys(Vec<String>),
}

/// Something that is done about objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The action that is taken on the objects.
    pub action: ObjectAction,
    /// The objects.
    pub objects: ObjectSelection,
}

/// A request to do something about what a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRequest {
    /// The scan that the admin saw, which must still be the last complete one.
    pub scan_id: TaskId,
    /// What to do; empty takes what is proposed for each class.
    pub changes: Vec<ObjectChange>,
    /// Whether only the plan is wanted.
    pub dry_run: bool,
}

/// What is done about the objects of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileEntry {
    /// The action that is taken on the objects.
    pub action: ObjectAction,
    /// What the objects are.
    pub class: ObjectClass,
    /// The number of objects.
    pub count: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// The first of their keys.
    pub keys: Vec<String>,
}

/// An object that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRefusal {
    /// The object's key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What a request does or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The scan.
    pub scan_id: TaskId,
    /// Whether this is a plan, and nothing was changed.
    pub dry_run: bool,
    /// What is done, by action and class.
    pub entries: Vec<ReconcileEntry>,
    /// The first of the objects that are left alone.
    pub refused: Vec<ReconcileRefusal>,
    /// The number of objects that are left alone.
    pub refused_count: u64,
    /// Whether there are more objects than one request changes; the same request continues.
    pub more: bool,
    /// The tasks that were queued.
    pub tasks: Vec<TaskId>,
}

impl Service {
    /// Does something about what the last scan of a storage found, or returns what would be done.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] when there is a later scan; [`Code::InvalidRequest`] for too
    /// many keys; [`Code::NoImageStorageBound`]; an error of the database.
    pub async fn storage_reconcile(
        &self,
        op: &Op,
        id: StorageId,
        request: ReconcileRequest,
    ) -> Result<ReconcileReport, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let storage = get(&change.conn(), id).await?.storage;
        require_last_scan(&change, id, request.scan_id).await?;
        let hypervisor_id = hypervisor_reaching_storage(&change, id).await?;
        let report = ReconcileReport {
            scan_id: request.scan_id,
            dry_run: request.dry_run,
            entries: Vec::new(),
            refused: Vec::new(),
            refused_count: 0,
            more: false,
            tasks: Vec::new(),
        };
        let by = (op.account_id(), op.request_id);
        let mut run = Run { storage, hypervisor_id, by, report, left: MAX_CHANGED, entries: BTreeMap::new() };
        for wanted in changes_of(request.changes) {
            run.change(&mut change, wanted).await?;
        }
        let report = run.finish();
        if !report.dry_run {
            change.audit(op, "storage.reconcile", id).await?;
            change.commit().await?;
        }
        Ok(report)
    }
}

async fn require_last_scan(change: &Change<'_>, id: StorageId, seen: TaskId) -> Result<(), Error> {
    let last = storage_scan::latest(&change.conn(), id, Some(ScanState::Complete), 1).await.db()?;
    let detail = match last.first() {
        Some(scan) if scan.id == seen => return Ok(()),
        Some(_) => "there is a later scan of this storage; look at what it found, and make a new plan",
        None => "the storage was not scanned yet; start a scan first",
    };
    Err(Error::new(Code::PreconditionFailed, detail).at("/scan_id"))
}

fn changes_of(changes: Vec<ObjectChange>) -> Vec<ObjectChange> {
    if !changes.is_empty() {
        return changes;
    }
    let proposed = ObjectClass::ALL.iter().filter_map(|class| Some((*class, class.proposed()?)));
    proposed.map(|(class, action)| ObjectChange { action, objects: ObjectSelection::Class(class) }).collect()
}

/// A request that is being carried out.
struct Run {
    storage: ImageStorage,
    hypervisor_id: HypervisorId,
    by: (AccountId, RequestId),
    report: ReconcileReport,
    left: usize,
    entries: BTreeMap<(ObjectAction, ObjectClass), ReconcileEntry>,
}

impl Run {
    fn finish(self) -> ReconcileReport {
        ReconcileReport { entries: self.entries.into_values().collect(), ..self.report }
    }

    async fn change(&mut self, change: &mut Change<'_>, wanted: ObjectChange) -> Result<(), Error> {
        let action = wanted.action;
        match wanted.objects {
            ObjectSelection::Keys(keys) => {
                if keys.len() > MAX_CHANGED {
                    let detail = format!("name at most {MAX_CHANGED} keys at once");
                    return Err(Error::new(Code::InvalidRequest, detail).at("/changes"));
                }
                for page in keys.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
                    let names: Vec<&str> = page.iter().map(String::as_str).collect();
                    let mut found =
                        storage_scan::objects_of_keys(&change.conn(), self.storage.id, &names).await.db()?;
                    let mut records = Vec::new();
                    for key in page {
                        match found.remove(key) {
                            Some(record) => records.push(record),
                            None => self.refuse(key, "the last scan found no such object".to_owned()),
                        }
                    }
                    self.apply(change, action, records).await?;
                }
            }
            ObjectSelection::Class(class) => {
                let mut filter =
                    ObjectFilter { classes: vec![class], limit: PAGE, ..ObjectFilter::default() };
                loop {
                    let page = storage_scan::objects(&change.conn(), self.storage.id, &filter).await.db()?;
                    let Some(last) = page.last() else { break };
                    filter.after = Some(last.key.clone());
                    self.apply(change, action, page).await?;
                    if self.report.more {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        change: &mut Change<'_>,
        action: ObjectAction,
        mut records: Vec<ObjectRecord>,
    ) -> Result<(), Error> {
        if records.len() > self.left {
            self.report.more = true;
            records.truncate(self.left);
        }
        let mut again = records.clone();
        compare(&change.conn(), &self.storage, &mut again, (change.now, change.now)).await?;
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for (before, mut now) in records.into_iter().zip(again) {
            if now.class != before.class {
                self.refuse(&now.key, format!("it is {} now, no longer {}", now.class, before.class));
                changed.push(now);
                continue;
            }
            if !now.class.actions().contains(&action) {
                self.refuse(&now.key, format!("`{action}` is not possible for {}", now.class));
                continue;
            }
            let class = now.class;
            match action {
                ObjectAction::Quarantine => {
                    now.class = ObjectClass::Quarantined;
                    now.quarantined_at = Some(change.now);
                }
                ObjectAction::Release => now.quarantined_at = None,
                ObjectAction::Delete => {
                    now.class = ObjectClass::InProgress;
                    deleted.push(now.key.clone());
                }
                ObjectAction::Repair => {
                    if let Some(reason) = self.repair(change, &now).await? {
                        self.refuse(&now.key, reason);
                        continue;
                    }
                    if now.size.is_some() {
                        now.class = ObjectClass::InProgress;
                    }
                }
            }
            self.count(action, class, &now);
            changed.push(now);
        }
        if action == ObjectAction::Release {
            compare(&change.conn(), &self.storage, &mut changed, (change.now, change.now)).await?;
        }
        storage_scan::put_objects(&change.tx, &changed).await.db()?;
        for keys in deleted.chunks(MAX_CLEANED) {
            let to = (self.storage.id, self.hypervisor_id);
            self.report.tasks.push(queue_clean(change, self.by, to, keys.to_vec()).await?);
        }
        Ok(())
    }

    /// Has the image of an object read anew. Returns why not, where that is not possible.
    async fn repair(
        &mut self,
        change: &mut Change<'_>,
        object: &ObjectRecord,
    ) -> Result<Option<String>, Error> {
        let found = match object.image_id {
            Some(id) => image::get(&change.conn(), id).await.db()?,
            None => None,
        };
        let of_object = found.filter(|found| {
            found.image.storage_id == self.storage.id && found.image.storage_key == object.key
        });
        let Some(found) = of_object else {
            return Ok(Some("its image is gone, or uses another file now".to_owned()));
        };
        if found.image.stored.is_none() {
            return Ok(Some("the image was never available; delete it, or retry its task".to_owned()));
        }
        match queue_verification(change, self.by, &found, self.hypervisor_id).await? {
            Some(task) => {
                self.report.tasks.push(task);
                Ok(None)
            }
            None => Ok(Some("a task works on the image; try again when it is over".to_owned())),
        }
    }

    fn refuse(&mut self, key: &str, reason: String) {
        self.report.refused_count += 1;
        if self.report.refused.len() < MAX_NAMED {
            self.report.refused.push(ReconcileRefusal { key: key.to_owned(), reason });
        }
    }

    fn count(&mut self, action: ObjectAction, class: ObjectClass, object: &ObjectRecord) {
        self.left = self.left.saturating_sub(1);
        let empty = ReconcileEntry { action, class, count: 0, bytes: 0, keys: Vec::new() };
        let entry = self.entries.entry((action, class)).or_insert(empty);
        entry.count += 1;
        entry.bytes = entry.bytes.saturating_add(object.size.unwrap_or(ByteSize::ZERO).bytes());
        if entry.keys.len() < MAX_NAMED {
            entry.keys.push(object.key.clone());
        }
    }
}

/// Queues the removal of objects that nothing refers to.
pub(super) async fn queue_clean(
    change: &mut Change<'_>,
    (account_id, request_id): (AccountId, RequestId),
    (storage_id, hypervisor_id): (StorageId, HypervisorId),
    keys: Vec<String>,
) -> Result<TaskId, Error> {
    let id = TaskId::new(change.service.new_uuid());
    let new = NewTask {
        account_id,
        kind: TaskKind::StorageClean,
        image_id: None,
        instance_id: None,
        hypervisor_id,
        payload: TaskPayload::Clean { storage_id, keys },
        request_id,
    };
    let task = lifecycle::new_task(change, id, new)?;
    lifecycle::queue(change, &task).await?;
    reservation::reserve(change, id, storage_id, ByteSize::ZERO).await?;
    Ok(id)
}

/// Forgets the objects that a task has removed.
pub(crate) async fn cleaned(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let TaskPayload::Clean { storage_id, keys } = TaskPayload::of(record)? else {
        return Err(Error::internal("a removal of objects without their keys"));
    };
    storage_scan::remove_objects(&change.tx, storage_id, &keys).await.db()
}
