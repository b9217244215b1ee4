//! The clock of what is charged: it starts, stops and is split in the transactions that change
//! images and instances (S115, S116, S121, S128, D8).

use imprint_agent_protocol::{AssignmentKind, ImageResult, Outcome, ScannedObject};
use imprint_domain::{
    billing::{IntervalEnd, Measure, UsageInterval, UsageSubject},
    id::{ImageId, InstanceId},
    image::{ImageEdit, ImageStatus, StoredImage},
    instance::InstanceStatus,
    storage_scan::ObjectAction,
    task_error::{TaskError, TaskErrorCode},
    time::{Environment as _, Timestamp},
};
use imprint_service::{Busy, ImageView, InstanceReinstall, InstanceView};
use imprint_store::{
    Store,
    billing::{
        interval::{self, Within},
        state::{self, BillingState},
    },
};

use crate::{
    imports::imported,
    reinstall, scan,
    support::{World, failure, name, size, stored},
};

/// The bytes of an image as the agent reports it.
const BYTES: u64 = 5 << 20;
const HOUR: i64 = 3600;

impl World {
    /// All intervals of the customer, oldest first.
    pub(crate) async fn intervals(&self) -> Vec<UsageInterval> {
        let store = Store::open(&self.target).await.unwrap();
        let within = Within {
            from: "1970-01-01T00:00:00Z".parse().unwrap(),
            until: "9000-01-01T00:00:00Z".parse().unwrap(),
        };
        interval::of_account(&store.read(), self.customer.account_id(), within).await.unwrap()
    }

    async fn of_image(&self, id: ImageId) -> Vec<UsageInterval> {
        let mut found = self.intervals().await;
        found.retain(|interval| interval.subject == UsageSubject::Image(id));
        found
    }

    async fn of_instance(&self, id: InstanceId) -> Vec<UsageInterval> {
        let mut found = self.intervals().await;
        found.retain(|interval| interval.subject == UsageSubject::Instance(id));
        found
    }

    async fn seal(&self, hour: i64) {
        let store = Store::open(&self.target).await.unwrap();
        let tx = store.write_tx().await.unwrap();
        state::put(&tx, BillingState { sealed_until: hour, metered_until: hour }).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Of what costs, and of nothing else, the clock runs.
pub(crate) async fn clocks_agree(store: &Store, images: &[ImageView], instances: &[InstanceView]) {
    let conn = store.read();
    for image in images {
        let open = interval::open(&conn, UsageSubject::Image(image.id)).await.unwrap();
        let measure = open.map(|open| open.measure);
        let stored = image.size_bytes.filter(|_| image.status == ImageStatus::Available);
        assert_eq!(measure, stored.map(|size| Measure::Image { bytes: size.bytes() }), "{image:?}");
    }
    for instance in instances {
        let open = interval::open(&conn, UsageSubject::Instance(instance.id)).await.unwrap();
        assert_eq!(open.is_some(), instance.status == InstanceStatus::Ready, "{instance:?}");
    }
}

fn only(found: &[UsageInterval]) -> &UsageInterval {
    let [interval] = found else { panic!("{found:?}") };
    interval
}

/// Each interval begins where the one before ended.
fn joined(found: &[UsageInterval]) {
    for (before, after) in found.iter().zip(found.iter().skip(1)) {
        assert_eq!((before.ended_at, before.ended_by), (Some(after.started_at), Some(IntervalEnd::Changed)));
    }
}

pub(crate) async fn the_clock_of_an_image_follows_it(world: World) {
    let made = world.capture("first").await;
    assert_eq!(world.of_image(made.image.id).await, [], "what is being created costs nothing");
    world.environment.advance(100);
    world.agent.heartbeat(&[]).await.unwrap();
    world.agent.work_all().await;
    let available = world.environment.now();
    let open = only(&world.of_image(made.image.id).await).clone();
    assert_eq!(open.measure, Measure::Image { bytes: BYTES });
    assert_eq!((open.started_at, open.ended_at, open.ended_by), (available, None, None));
    assert_eq!((open.account_id, open.location_id), (world.customer.account_id(), world.location.id));
    let edit = ImageEdit { name: Some(name("renamed")), ..ImageEdit::default() };
    world.service.image_update(&world.customer, made.image.id, edit, None).await.unwrap();
    world.environment.advance(50);
    world.service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    // Its file is still there.
    let ended = only(&world.of_image(made.image.id).await).clone();
    assert_eq!((ended.id, ended.name.as_str()), (open.id, "renamed"));
    assert_eq!((ended.ended_at, ended.ended_by), (Some(world.environment.now()), Some(IntervalEnd::Deleted)));
    world.environment.advance(50);
    world.agent.work_all().await;
    assert_eq!(world.of_image(made.image.id).await, [ended], "the row outlives its image");
}

pub(crate) async fn what_failed_or_belongs_to_the_provider_costs_nothing(world: World) {
    let made = world.capture("fails").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    let shown = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!(shown.status, ImageStatus::Error);
    world.service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    world.agent.work_all().await;
    let store = Store::open(&world.target).await.unwrap();
    for id in [made.image.id, world.stock_image] {
        assert_eq!(interval::open(&store.read(), UsageSubject::Image(id)).await.unwrap(), None);
        assert_eq!(interval::last_end(&store.read(), UsageSubject::Image(id)).await.unwrap(), None);
    }
}

/// Has the image of the object repaired that a scan has found so.
async fn repaired(world: &World, key: &str, objects: Vec<ScannedObject>) {
    scan::scan(world, objects).await;
    scan::reconcile(world, scan::one(ObjectAction::Repair, key), false).await;
}

/// The file of a repair is read anew and has that size.
async fn read_anew(world: &World, bytes: u64) {
    let work = world.agent.claim_one().await;
    assert!(matches!(work.kind, AssignmentKind::VerifyImage(_)), "{:?}", work.kind);
    let image = StoredImage { size: size(bytes), ..stored() };
    world.agent.finish(&work, Outcome::ImageRegistered(ImageResult { image, findings: None })).await.unwrap();
}

pub(crate) async fn a_repaired_size_splits_and_a_lost_file_costs_nothing(world: World) {
    let id = world.image("repaired").await;
    let key = scan::key(&world, id).await;
    world.environment.advance(10);
    repaired(&world, &key, vec![scan::object(&world, &key, BYTES * 2)]).await;
    read_anew(&world, BYTES * 2).await;
    let found = world.of_image(id).await;
    assert_eq!(found.len(), 2);
    joined(&found);
    assert_eq!(found[1].measure, Measure::Image { bytes: BYTES * 2 });
    world.environment.advance(10);
    repaired(&world, &key, Vec::new()).await;
    let work = world.agent.claim_one().await;
    let gone = TaskError::new(TaskErrorCode::ImageFileMissing, "no such file");
    world.agent.finish(&work, Outcome::Failed(gone)).await.unwrap();
    let shown = world.service.image_show(&world.customer, id).await.unwrap();
    assert_eq!(shown.status, ImageStatus::Error);
    let lost = world.of_image(id).await;
    let ended = (lost[1].ended_at, lost[1].ended_by);
    assert_eq!(ended, (Some(world.environment.now()), Some(IntervalEnd::Changed)));
    world.environment.advance(10);
    repaired(&world, &key, vec![scan::object(&world, &key, BYTES)]).await;
    read_anew(&world, BYTES).await;
    let back = world.of_image(id).await;
    assert_eq!(back[..2], lost[..]);
    assert_eq!((back.len(), back[2].started_at), (3, world.environment.now()));
    assert_eq!(back[2].measure, Measure::Image { bytes: BYTES });
}

pub(crate) async fn an_import_costs_from_its_end_on(world: World) {
    world.serves_objects().await;
    let made = world.service.image_import(&world.customer, world.upload("disk", 7 << 20)).await.unwrap();
    let work = world.agent.claim_one().await;
    assert_eq!(world.of_image(made.image.id).await, []);
    world.environment.advance(5);
    world.agent.finish(&work, imported()).await.unwrap();
    let open = only(&world.of_image(made.image.id).await).clone();
    assert_eq!((open.started_at, open.measure), (world.environment.now(), Measure::Image { bytes: BYTES }));
}

pub(crate) async fn the_clock_of_an_instance_follows_it(world: World) {
    let disk = 64 << 20;
    let made = world.service.instance_create(&world.customer, world.deployment("fails")).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(world.of_instance(made.instance.id).await, [], "it was never there");
    let measure = |disk_bytes| Measure::Instance { vcpus: 1, memory_bytes: 512 << 20, disk_bytes };
    let first = only(&world.of_instance(world.instance).await).clone();
    assert_eq!((first.measure, first.ended_at), (measure(disk), None));
    world.environment.advance(10);
    world.attach(16 << 20).await.unwrap();
    world.agent.work_all().await;
    world.environment.advance(10);
    let request =
        InstanceReinstall { disk_size: Some(size(128 << 20)), ..reinstall::request(world.stock_image) };
    world.service.instance_reinstall(&world.customer, world.instance, request, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    world.environment.advance(10);
    let shown = world.service.instance_show(&world.customer, world.instance).await.unwrap();
    let second = shown.disks.iter().find(|disk| !disk.primary).unwrap().id;
    world.detach(second).await.unwrap();
    world.agent.work_all().await;
    world.environment.advance(10);
    world.service.instance_delete(&world.customer, world.instance, Busy::Refuse).await.unwrap();
    let found = world.of_instance(world.instance).await;
    joined(&found);
    let measures: Vec<Measure> = found.iter().map(|interval| interval.measure).collect();
    let sizes = [disk, disk + (16 << 20), (128 << 20) + (16 << 20), 128 << 20];
    assert_eq!(measures, sizes.map(measure));
    let last = found.last().unwrap();
    assert_eq!((last.ended_at, last.ended_by), (Some(world.environment.now()), Some(IntervalEnd::Deleted)));
    world.agent.work_all().await;
    assert_eq!(world.of_instance(world.instance).await, found);
}

pub(crate) async fn nothing_changes_inside_of_a_sealed_hour(world: World) {
    let id = world.image("sealed").await;
    let started = only(&world.of_image(id).await).started_at;
    let hour = started.timestamp().div_euclid(HOUR) + 2;
    let sealed: Timestamp = Timestamp::from_timestamp(hour * HOUR, 0).unwrap();
    world.seal(hour).await;
    // The clock is behind the hour that was sealed.
    let later = world.image("later").await;
    assert_eq!(only(&world.of_image(later).await).started_at, sealed);
    world.service.image_delete(&world.customer, id, None).await.unwrap();
    assert_eq!(only(&world.of_image(id).await).ended_at, Some(sealed));
    world.environment.advance(3 * HOUR);
    world.agent.heartbeat(&[]).await.unwrap();
    world.service.image_delete(&world.customer, later, None).await.unwrap();
    assert_eq!(only(&world.of_image(later).await).ended_at, Some(world.environment.now()));
    // It steps back behind the start of what is open.
    let back = world.image("back").await;
    world.environment.advance(-1000);
    world.service.image_delete(&world.customer, back, None).await.unwrap();
    let ended = only(&world.of_image(back).await).clone();
    assert_eq!(ended.ended_at, Some(ended.started_at));
}
