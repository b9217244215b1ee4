//! Scans of image storages (S96 to S99, S128, X9): what is found, and what is done about it.

use std::collections::BTreeMap;

use imprint_agent_protocol::{
    Assignment, AssignmentKind, Outcome, ProtocolError, ScanReport, ScanResponse, ScannedDigest,
    ScannedObject,
};
use imprint_domain::{
    Code,
    id::{ImageId, InstanceId, TaskId},
    image::{ImageFormat, ImageKind, ImageStatus, StoredImage},
    size::ByteSize,
    storage_scan::{GRACE_S, ObjectAction, ObjectClass, QUARANTINE_DAYS, ScanState},
    storage_test::TEST_PREFIX,
    task::{TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
    time::Environment,
};
use imprint_service::{
    Busy, ObjectAdopt, ObjectChange, ObjectList, ObjectSelection, ObjectView, PageRequest, ReconcileReport,
    ReconcileRequest, ScanView, Service, Settings,
};
use imprint_store::{Store, image};
use uuid::Uuid;

use crate::support::{World, database, digest, failure, lease, name, settings, size, stored, success};

/// The size of every stored image in these tests, in bytes.
const SIZE: u64 = 5 << 20;

pub(crate) fn object(world: &World, key: &str, bytes: u64) -> ScannedObject {
    let old = world.environment.now().timestamp_millis() - 2 * 1000 * GRACE_S;
    ScannedObject { key: key.to_owned(), size: bytes, modified_ms: Some(u64::try_from(old).unwrap()) }
}

pub(crate) async fn key(world: &World, id: ImageId) -> String {
    world.service.image_show(&world.admin, id).await.unwrap().storage.unwrap().key
}

async fn start(world: &World, deep: bool) -> Assignment {
    // What ended at the very start of a scan counts as having changed during it.
    world.environment.advance(1);
    world.service.storage_scan(&world.admin, world.images, deep, None).await.unwrap();
    let work = world.agent.claim_one().await;
    assert!(matches!(work.kind, AssignmentKind::ScanStorage(_)), "{:?}", work.kind);
    work
}

async fn report(world: &World, work: &Assignment, objects: Vec<ScannedObject>) -> ScanResponse {
    let report = ScanReport { lease: lease(work), objects, digests: Vec::new() };
    world.agent.control.scanned(report).await.unwrap()
}

pub(crate) async fn scan(world: &World, objects: Vec<ScannedObject>) -> ScanView {
    let work = start(world, false).await;
    report(world, &work, objects).await;
    world.agent.finish(&work, Outcome::StorageScanned).await.unwrap();
    last(world).await
}

async fn last(world: &World) -> ScanView {
    world.service.storage_scans(&world.admin, world.images).await.unwrap().remove(0)
}

async fn objects(world: &World) -> BTreeMap<String, ObjectView> {
    let mut found = BTreeMap::new();
    let mut token = None;
    loop {
        let page = PageRequest { limit: Some(2), page_token: token };
        let list = ObjectList { storage_id: world.images, classes: Vec::new(), prefix: String::new(), page };
        let page = world.service.storage_objects(&world.admin, &list).await.unwrap();
        found.extend(page.items.into_iter().map(|object| (object.key.clone(), object)));
        token = page.next_page_token;
        if token.is_none() {
            return found;
        }
    }
}

pub(crate) async fn class(world: &World, key: &str) -> Option<ObjectClass> {
    objects(world).await.get(key).map(|object| object.class)
}

pub(crate) async fn reconcile(world: &World, changes: Vec<ObjectChange>, dry_run: bool) -> ReconcileReport {
    let request = ReconcileRequest { scan_id: last(world).await.id, changes, dry_run };
    world.service.storage_reconcile(&world.admin, world.images, request).await.unwrap()
}

pub(crate) fn one(action: ObjectAction, key: &str) -> Vec<ObjectChange> {
    vec![ObjectChange { action, objects: ObjectSelection::Keys(vec![key.to_owned()]) }]
}

fn orphan_key(number: u128) -> String {
    format!("{}.qcow2", ImageId::new(Uuid::from_u128(number)))
}

/// Deletes an instance that is the source of an image.
async fn remove_instance(world: &World, id: InstanceId) {
    world.service.instance_delete(&world.customer, id, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
}

/// Images of the customer, and the keys of their files.
struct Planted {
    fine: String,
    missing: String,
    short: String,
    damaged: String,
    stale: String,
}

impl Planted {
    async fn new(world: &mut World) -> Self {
        let image = async |world: &World, name: &str| key(world, world.image(name).await).await;
        let (fine, missing) = (image(world, "fine").await, image(world, "missing").await);
        let (short, damaged) = (image(world, "short").await, image(world, "damaged").await);
        let first = world.instance;
        world.instance = world.deploy("web-2").await;
        let stale = image(world, "stale").await;
        remove_instance(world, world.instance).await;
        world.instance = first;
        Self { fine, missing, short, damaged, stale }
    }

    /// Reports the files of a deep scan that could be those of images, and the digests of those
    /// that are to be read.
    async fn report(&self, world: &World, work: &Assignment) {
        let files = [(&self.fine, SIZE), (&self.short, SIZE - 1), (&self.damaged, SIZE)];
        let listed = files.into_iter().map(|(key, bytes)| object(world, key, bytes)).collect();
        let mut read = report(world, work, listed).await.digest;
        read.sort();
        let mut expected = vec![self.fine.clone(), self.damaged.clone()];
        expected.sort();
        assert_eq!(read, expected, "only files that could be right are read");
        for (key, hex) in [(&self.fine, "2"), (&self.damaged, "3")] {
            let digests = vec![ScannedDigest { key: key.clone(), digest: digest(hex).parse().unwrap() }];
            let report = ScanReport { lease: lease(work), objects: Vec::new(), digests };
            // An answer that is lost is asked for again.
            world.agent.control.scanned(report.clone()).await.unwrap();
            world.agent.control.scanned(report).await.unwrap();
        }
    }
}

pub(crate) async fn a_scan_finds_every_fault_and_nothing_else(mut world: World) {
    let planted = Planted::new(&mut world).await;
    let (orphan, young_key) = (orphan_key(1), orphan_key(2));
    let left_over = format!("{TEST_PREFIX}1");
    let work = start(&world, true).await;
    let again = world.service.storage_scan(&world.admin, world.images, false, None).await.unwrap();
    assert!(again.replayed && again.task.id == work.task_id, "one scan of a storage at a time");
    planted.report(&world, &work).await;
    let rest = vec![
        object(&world, &planted.stale, SIZE),
        object(&world, &orphan, 10),
        ScannedObject { modified_ms: None, ..object(&world, &young_key, 1) },
        object(&world, "notes/readme.txt", 20),
        object(&world, &left_over, 1 << 20),
    ];
    report(&world, &work, rest).await;
    world.agent.finish(&work, Outcome::StorageScanned).await.unwrap();

    let found = objects(&world).await;
    let classes: BTreeMap<&str, ObjectClass> =
        found.iter().map(|(key, object)| (key.as_str(), object.class)).collect();
    let expected = BTreeMap::from([
        (planted.fine.as_str(), ObjectClass::Image),
        (planted.missing.as_str(), ObjectClass::Missing),
        (planted.short.as_str(), ObjectClass::SizeMismatch),
        (planted.damaged.as_str(), ObjectClass::DigestMismatch),
        (planted.stale.as_str(), ObjectClass::StaleParent),
        (orphan.as_str(), ObjectClass::Orphan),
        (young_key.as_str(), ObjectClass::InProgress),
        ("notes/readme.txt", ObjectClass::Foreign),
        (left_over.as_str(), ObjectClass::Orphan),
    ]);
    assert_eq!(classes, expected);
    let scan = last(&world).await;
    assert_eq!((scan.state, scan.deep, scan.objects), (ScanState::Complete, true, 8));
    let faults: u64 =
        scan.classes.iter().filter(|(class, _)| class.is_fault()).map(|(_, count)| count.count).sum();
    assert_eq!(faults, 6);
    assert_eq!(found[&planted.fine].image.as_ref().unwrap().name, name("fine"));
    let task = world.service.task_show(&world.admin, work.task_id).await.unwrap();
    assert_eq!((task.kind, task.state), (TaskKind::StorageScan, TaskState::Succeeded));
}

pub(crate) async fn a_young_object_is_an_orphan_an_hour_later_and_customers_see_none(world: World) {
    let young = ScannedObject { modified_ms: None, ..object(&world, &orphan_key(1), 1) };
    scan(&world, vec![young.clone()]).await;
    assert_eq!(class(&world, &young.key).await, Some(ObjectClass::InProgress));
    world.environment.advance(GRACE_S);
    world.agent.heartbeat(&[]).await.unwrap();
    scan(&world, vec![young.clone()]).await;
    assert_eq!(class(&world, &young.key).await, Some(ObjectClass::Orphan));
    let list = ObjectList {
        storage_id: world.images,
        classes: Vec::new(),
        prefix: String::new(),
        page: PageRequest::default(),
    };
    let refused = world.service.storage_objects(&world.customer, &list).await;
    assert_eq!(refused.unwrap_err().code, Code::Forbidden);
}

pub(crate) async fn what_changes_during_a_scan_is_no_fault(world: World) {
    let removed = world.image("removed").await;
    let removed_key = key(&world, removed).await;
    let work = start(&world, false).await;
    report(&world, &work, vec![object(&world, &removed_key, SIZE)]).await;
    // Listed, and then deleted; captured after its place in the listing had passed.
    world.service.image_delete(&world.customer, removed, None).await.unwrap();
    let late = world.image("late").await;
    let capturing = world.capture("capturing").await.image.id;
    world.agent.finish(&work, Outcome::StorageScanned).await.unwrap();
    assert_eq!(class(&world, &removed_key).await, Some(ObjectClass::InProgress));
    assert_eq!(class(&world, &key(&world, late).await).await, None);
    assert_eq!(class(&world, &key(&world, capturing).await).await, None);
    let faults = last(&world).await.classes.keys().filter(|class| class.is_fault()).count();
    assert_eq!(faults, 0);
}

pub(crate) async fn a_report_counts_under_its_own_lease_only(world: World) {
    let kept = object(&world, "kept.txt", 1);
    let work = start(&world, false).await;
    report(&world, &work, vec![object(&world, "gone.txt", 1)]).await;
    let next = world.agent.restarted().await;
    let lost = ScanReport { lease: lease(&work), objects: vec![kept.clone()], digests: Vec::new() };
    assert_eq!(world.agent.control.scanned(lost).await, Err(ProtocolError::LeaseLost));
    let second = next.claim_one().await;
    assert_eq!(second.task_id, work.task_id, "the scan starts anew");
    report(&world, &second, vec![kept]).await;
    next.finish(&second, Outcome::StorageScanned).await.unwrap();
    assert_eq!(objects(&world).await.into_keys().collect::<Vec<_>>(), ["kept.txt"]);
    // A scan that fails leaves what the last one found.
    world.service.storage_scan(&world.admin, world.images, false, None).await.unwrap();
    let third = next.claim_one().await;
    let too_many = (0..501).map(|number| object(&world, &number.to_string(), 1)).collect();
    let report = ScanReport { lease: lease(&third), objects: too_many, digests: Vec::new() };
    assert!(matches!(next.control.scanned(report).await, Err(ProtocolError::Refused { .. })));
    next.finish(&third, failure(false)).await.unwrap();
    assert_eq!(last(&world).await.state, ScanState::Failed);
    assert_eq!(class(&world, "kept.txt").await, Some(ObjectClass::Foreign));
}

pub(crate) async fn a_plan_changes_nothing_and_applying_does_what_it_says(world: World) {
    let missing = world.image("missing").await;
    let missing_key = key(&world, missing).await;
    let listed = vec![object(&world, &orphan_key(1), 10), object(&world, "foreign.txt", 20)];
    scan(&world, listed).await;
    let before = objects(&world).await;
    let plan = reconcile(&world, Vec::new(), true).await;
    assert_eq!(objects(&world).await, before, "a plan changes nothing");
    let entries: Vec<_> = plan.entries.iter().map(|entry| (entry.action, entry.class, entry.count)).collect();
    let proposed =
        [(ObjectAction::Quarantine, ObjectClass::Orphan, 1), (ObjectAction::Repair, ObjectClass::Missing, 1)];
    assert_eq!(entries, proposed, "nothing is deleted, and nothing is done about foreign files");
    let done = reconcile(&world, Vec::new(), false).await;
    assert_eq!(done.entries, plan.entries);
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::Quarantined));
    // The image is read again; its file is gone.
    let work = world.agent.claim_one().await;
    let AssignmentKind::VerifyImage(verify) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!((verify.image.id, &verify.image.key), (missing, &missing_key));
    let gone = TaskError::new(TaskErrorCode::ImageFileMissing, "no such file");
    world.agent.finish(&work, Outcome::Failed(gone)).await.unwrap();
    let shown = world.service.image_show(&world.customer, missing).await.unwrap();
    assert_eq!(shown.status, ImageStatus::Error);
    // The file comes back from a backup: the image is available again, and no fault is left.
    scan(&world, vec![object(&world, &missing_key, SIZE), object(&world, &orphan_key(1), 10)]).await;
    assert_eq!(class(&world, &missing_key).await, Some(ObjectClass::FailedImage));
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::Quarantined), "still set aside");
    reconcile(&world, one(ObjectAction::Repair, &missing_key), false).await;
    world.agent.work_all().await;
    let shown = world.service.image_show(&world.customer, missing).await.unwrap();
    assert_eq!(shown.status, ImageStatus::Available);
    assert_eq!(class(&world, &missing_key).await, Some(ObjectClass::Image));
    reconcile(&world, one(ObjectAction::Release, &orphan_key(1)), false).await;
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::Orphan));
    let deleted = reconcile(&world, one(ObjectAction::Delete, &orphan_key(1)), false).await;
    assert_eq!(deleted.tasks.len(), 1);
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::InProgress));
    let work = world.agent.claim_one().await;
    let AssignmentKind::CleanStorage(clean) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!(clean.keys, [orphan_key(1)]);
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::Orphan), "it is there as before");
    reconcile(&world, one(ObjectAction::Delete, &orphan_key(1)), false).await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(class(&world, &orphan_key(1)).await, None);
}

pub(crate) async fn what_is_used_is_never_deleted(world: World) {
    let kept = world.image("kept").await;
    let kept_key = key(&world, kept).await;
    scan(&world, vec![object(&world, &kept_key, SIZE), object(&world, &orphan_key(1), 10)]).await;
    let refused = reconcile(&world, one(ObjectAction::Delete, &kept_key), false).await;
    assert_eq!((refused.refused_count, refused.tasks.len()), (1, 0));
    assert!(refused.refused[0].reason.contains("not possible"), "{refused:?}");
    let unknown = reconcile(&world, one(ObjectAction::Delete, "unknown"), false).await;
    assert_eq!(unknown.refused[0].key, "unknown");
    // The orphan is adopted after the admin looked at it.
    let adopted = adopt(&world, &orphan_key(1)).await.unwrap();
    let late = reconcile(&world, one(ObjectAction::Delete, &orphan_key(1)), false).await;
    assert_eq!((late.refused_count, late.tasks.len()), (1, 0), "{late:?}");
    world.agent.work_all().await;
    let shown = world.service.image_show(&world.customer, adopted).await.unwrap();
    assert_eq!((shown.status, shown.kind), (ImageStatus::Available, ImageKind::Custom));
    assert_eq!(adopt(&world, &orphan_key(1)).await.unwrap_err().code, Code::NameTaken);
    // One that is being deleted is not adopted.
    scan(&world, vec![object(&world, &kept_key, SIZE), object(&world, &orphan_key(2), 10)]).await;
    reconcile(&world, one(ObjectAction::Delete, &orphan_key(2)), false).await;
    assert_eq!(adopt(&world, &orphan_key(2)).await.unwrap_err().code, Code::ResourceInUse);
    let stale = ReconcileRequest { scan_id: TaskId::new(Uuid::nil()), changes: Vec::new(), dry_run: true };
    let refused = world.service.storage_reconcile(&world.admin, world.images, stale).await;
    assert_eq!(refused.unwrap_err().code, Code::PreconditionFailed);
}

async fn adopt(world: &World, key: &str) -> Result<ImageId, imprint_domain::Error> {
    let request = ObjectAdopt {
        storage_id: world.images,
        key: key.to_owned(),
        name: name(&key[..20]),
        description: String::new(),
        format: ImageFormat::Qcow2,
        location_id: world.location.id,
        account_id: Some(world.customer.account_id()),
    };
    Ok(world.service.object_adopt(&world.admin, request).await?.image.id)
}

pub(crate) async fn an_image_of_0_bytes_repairs_itself(world: World) {
    let empty = world.image("empty").await;
    let empty_key = key(&world, empty).await;
    let store = Store::open(&world.target).await.unwrap();
    let tx = store.write_tx().await.unwrap();
    let mut record = image::get(&tx.conn(), empty).await.unwrap().unwrap();
    let now = world.environment.now();
    record.image.confirm(StoredImage { size: ByteSize::ZERO, ..stored() }, now).unwrap();
    image::update(&tx, &record).await.unwrap();
    tx.commit().await.unwrap();
    scan(&world, vec![object(&world, &empty_key, SIZE)]).await;
    assert_eq!(class(&world, &empty_key).await, Some(ObjectClass::SizeMismatch));
    let work = world.agent.claim_one().await;
    assert!(matches!(work.kind, AssignmentKind::VerifyImage(_)), "{:?}", work.kind);
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let shown = world.service.image_show(&world.customer, empty).await.unwrap();
    assert_eq!(shown.size_bytes, Some(size(SIZE)));
    assert_eq!(class(&world, &empty_key).await, Some(ObjectClass::Image));
}

/// Starts the scans that are due, lets them end, and returns of each storage's whether it was deep.
async fn started_deep(world: &World, service: &Service) -> Vec<bool> {
    assert_eq!(service.reconcile_once().await.unwrap().scans, 2);
    world.agent.work_all().await;
    let mut deep = Vec::new();
    for storage in [world.images, world.stock] {
        deep.push(service.storage_scans(&world.admin, storage).await.unwrap()[0].deep);
    }
    deep.sort_unstable();
    deep
}

/// Lets days pass, with an agent online at their end.
async fn later(world: &World, days: i64) {
    world.environment.advance(days * 24 * 3600);
    world.agent.heartbeat(&[]).await.unwrap();
}

pub(crate) async fn a_scan_is_deep_after_a_month_and_of_one_storage_at_a_time(world: World) {
    let environment: std::sync::Arc<dyn Environment> = world.environment.clone();
    let daily = Settings { storage_scan_h: 24, storage_deep_scan_d: 30, ..settings() };
    let service = Service::open(&database(&world.target), daily, environment).await.unwrap();
    later(&world, 1).await;
    assert_eq!(started_deep(&world, &service).await, [false, false]);
    later(&world, 29).await;
    assert_eq!(started_deep(&world, &service).await, [false, true], "of the images and of the stock");
    later(&world, 1).await;
    assert_eq!(started_deep(&world, &service).await, [false, true], "then of the other one");
    later(&world, 1).await;
    assert_eq!(started_deep(&world, &service).await, [false, false]);
}

pub(crate) async fn scans_start_by_themselves_and_the_quarantine_ends(world: World) {
    let environment: std::sync::Arc<dyn Environment> = world.environment.clone();
    let daily = Settings { storage_scan_h: 24, ..settings() };
    let service = Service::open(&database(&world.target), daily, environment).await.unwrap();
    assert_eq!(service.reconcile_once().await.unwrap().scans, 0, "a new storage has nothing to compare");
    world.pass(24 * 3600, &[]).await;
    assert_eq!(service.reconcile_once().await.unwrap().scans, 2, "of the images and of the stock");
    assert_eq!(service.reconcile_once().await.unwrap().scans, 0);
    world.agent.work_all().await;
    scan(&world, vec![object(&world, &orphan_key(1), 10)]).await;
    reconcile(&world, Vec::new(), false).await;
    let shown = objects(&world).await.remove(&orphan_key(1)).unwrap();
    assert_eq!(shown.delete_after, Some(world.environment.now() + chrono::TimeDelta::days(QUARANTINE_DAYS)));
    world.environment.advance(QUARANTINE_DAYS * 24 * 3600);
    world.agent.heartbeat(&[]).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().scans, 0, "to the day");
    world.environment.advance(1);
    assert_eq!(world.service.reconcile_once().await.unwrap().scans, 1);
    let work = world.agent.claim_one().await;
    let AssignmentKind::CleanStorage(clean) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!(clean.keys, [orphan_key(1)]);
    // A removal that fails is tried again a day later, not at every run.
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(class(&world, &orphan_key(1)).await, Some(ObjectClass::Quarantined));
    assert_eq!(world.service.reconcile_once().await.unwrap().scans, 0);
    world.environment.advance(24 * 3600 + 1);
    assert_eq!(world.service.reconcile_once().await.unwrap().scans, 0, "no agent is online");
    world.agent.heartbeat(&[]).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().scans, 1);
}
