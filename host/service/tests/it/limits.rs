//! Slots, keys and rules.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{collections::BTreeMap, sync::Arc};

use imprint_agent_protocol::StorageReport;
use imprint_domain::{
    Code, Error,
    coalesce::CoalescePolicy,
    id::{InstanceId, LocationId},
    image::{
        ImageFormat,
        catalogue::{CatalogueEdit, GuestSystem},
    },
    instance::{BootSource, Instance, InstanceParts},
    limits::LimitScope,
    location::FreezeLimit,
    storage::StorageRole,
    task::TaskState,
};
use imprint_service::{
    AccountPatch, CaptureCreate, HypervisorCreate, Idempotency, ImageList, ImageTask, InstanceCreate,
    LocationCreate, LocationPatch, PageRequest, QuotaView, StockImageCreate,
};
use imprint_store::Store;

use crate::{
    storages::{NEEDED, create, report},
    support::{Agent, World, failure, name, open, size, stored},
};

/// Asks for 200 captures at once, of two control planes over one database.
async fn race(world: &Arc<World>) -> Vec<Result<ImageTask, Error>> {
    let second = open(&world.target, &world.environment).await;
    let requests: Vec<_> = (0..200)
        .map(|index| {
            let world = Arc::clone(world);
            let service = if index % 2 == 0 { world.service.clone() } else { second.clone() };
            tokio::spawn(async move {
                let request = world.capture_request(&format!("race {index}"));
                service.image_capture(&world.customer, request).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

pub(crate) async fn of_200_simultaneous_captures_the_free_slots_succeed(world: World) {
    let limit = LocationPatch { default_image_limit: Some(Some(9)), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, limit).await.unwrap();
    world.image("first").await;
    world.image("second").await;
    let world = Arc::new(world);
    let (mut made, mut refused) = (0, 0);
    for answer in race(&world).await {
        match answer {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error.code, Code::ImageLimitReached, "{error:?}");
                assert_eq!(error.code.title(), "Maximum image limit reached");
                assert_eq!(error.context["limit"], "9");
                refused += 1;
            }
        }
    }
    assert_eq!((made, refused), (7, 193));
    let limits = world.service.limits_show(&world.customer, world.location.id).await.unwrap();
    let QuotaView { image_limit, images_used, image_limit_scope, .. } = limits.limits;
    assert_eq!((image_limit, images_used, image_limit_scope), (Some(9), 9, LimitScope::Location));
    let list = ImageList {
        page: PageRequest { limit: Some(500), ..PageRequest::default() },
        ..ImageList::default()
    };
    assert_eq!(world.service.image_list(&world.customer, &list).await.unwrap().items.len(), 9);
    // The account's own limit comes first.
    let account = world.customer.account_id();
    let patch = AccountPatch { image_limit: Some(Some(10)), ..AccountPatch::default() };
    world.service.account_update(&world.admin, account, patch).await.unwrap();
    world.capture("one more").await;
    let full =
        world.service.image_capture(&world.customer, world.capture_request("too many")).await.unwrap_err();
    assert_eq!(full.code, Code::ImageLimitReached);
    let shown = world.service.instance_show(&world.customer, world.instance).await.unwrap();
    assert_eq!(shown.capture.code.as_deref(), Some("image_limit_reached"));
}

/// S122: the bytes of images are limited like their number, and what a capture may need is counted
/// until its file is stored.
pub(crate) async fn of_200_simultaneous_captures_those_that_fit_succeed(world: World) {
    world.image("first").await;
    let used = world.service.account_current(&world.customer).await.unwrap().image_bytes_used;
    assert_eq!(used, stored().size);
    // Room for four more that may need 20 MiB each, and not for a fifth.
    let limit = used.bytes() + 4 * NEEDED + NEEDED - 1;
    let patch = AccountPatch { image_bytes_limit: Some(Some(size(limit))), ..AccountPatch::default() };
    world.service.account_update(&world.admin, world.customer.account_id(), patch).await.unwrap();
    let world = Arc::new(world);
    let mut made = 0;
    for answer in race(&world).await {
        match answer {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error.code, Code::ImageBytesLimitReached, "{error:?}");
                assert_eq!(error.context["limit_bytes"], limit.to_string());
            }
        }
    }
    assert_eq!(made, 4);
    let shown = world.service.account_current(&world.customer).await.unwrap();
    assert_eq!((shown.images_used, shown.image_bytes_used), (5, size(used.bytes() + 4 * NEEDED)));
    // What they really take is less, so that there is room again.
    world.agent.work_all().await;
    let shown = world.service.account_current(&world.customer).await.unwrap();
    assert_eq!(shown.image_bytes_used, size(5 * stored().size.bytes()));
    world.capture("fits again").await;
}

/// S122, S123: an account's own limit is one number for all locations; a default counts the images
/// of its location.
pub(crate) async fn an_own_limit_counts_the_images_of_all_locations(world: World) {
    let (there, instance) = second_location(&world).await;
    let elsewhere = |text: &str| CaptureCreate { instance_id: instance, ..world.capture_request(text) };
    let default = LocationPatch { default_image_limit: Some(Some(1)), ..LocationPatch::default() };
    for location in [world.location.id, there] {
        world.service.location_update(&world.admin, location, default.clone()).await.unwrap();
    }
    world.capture("one here").await;
    world.service.image_capture(&world.customer, elsewhere("one there")).await.unwrap();
    let full = world.service.image_capture(&world.customer, elsewhere("two there")).await.unwrap_err();
    assert!(full.detail.contains("in this location"), "{}", full.detail);

    let account = world.customer.account_id();
    let own = AccountPatch { image_limit: Some(Some(3)), ..AccountPatch::default() };
    world.service.account_update(&world.admin, account, own).await.unwrap();
    world.service.image_capture(&world.customer, elsewhere("two there")).await.unwrap();
    for request in [world.capture_request("four"), elsewhere("four")] {
        let full = world.service.image_capture(&world.customer, request).await.unwrap_err();
        assert!(full.detail.contains("3 of 3 images;"), "{}", full.detail);
    }
    let page = world.service.location_list(&world.customer, &PageRequest::default()).await.unwrap();
    for location in page.items {
        let QuotaView { images_used, image_limit_scope, .. } = location.limits;
        assert_eq!((images_used, image_limit_scope), (3, LimitScope::Account));
    }
    let own = AccountPatch { image_limit: Some(None), ..AccountPatch::default() };
    world.service.account_update(&world.admin, account, own).await.unwrap();
    let limits = world.service.limits_show(&world.customer, there).await.unwrap().limits;
    assert_eq!((limits.images_used, limits.image_limit_scope), (2, LimitScope::Location));
}

/// A hypervisor with its storage in another location, and an instance on it.
async fn second_location(world: &World) -> (LocationId, InstanceId) {
    let request = LocationCreate {
        name: name("elsewhere"),
        images_enabled: true,
        sharing_enabled: true,
        iso_enabled: true,
        import_enabled: true,
        export_enabled: true,
        default_image_limit: None,
        default_image_bytes_limit: None,
        coalesce: CoalescePolicy::default(),
        freeze_limit: FreezeLimit::default(),
    };
    let there = world.service.location_create(&world.admin, request).await.unwrap().id;
    let request = HypervisorCreate {
        name: name("host-there"),
        location_id: there,
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::new(),
        max_work: None,
        max_captures: None,
    };
    let hypervisor = world.service.hypervisor_create(&world.admin, request).await.unwrap().id;
    let images = create(world, "images-there", "local", StorageRole::Customer).await;
    let stock = create(world, "stock-there", "local", StorageRole::Stock).await;
    let agent = Agent::new(&world.service, hypervisor, &world.environment);
    agent.register().await.unwrap();
    for storage in [images, stock] {
        world.service.storage_bind(&world.admin, storage, hypervisor).await.unwrap();
    }
    agent.report(&[], vec![report(images, Some(100 << 30)), report(stock, Some(100 << 30))]).await.unwrap();
    let request = StockImageCreate {
        name: name("stock there"),
        description: String::new(),
        storage_id: stock,
        key: "stock.raw".to_owned(),
        format: ImageFormat::Raw,
        location_id: there,
        guest: GuestSystem::default(),
        catalogue: CatalogueEdit::default(),
    };
    let image = world.service.stock_image_create(&world.admin, request).await.unwrap().image.id;
    agent.work_all().await;
    let request = InstanceCreate { image_id: image, ..world.deployment("there") };
    let made = world.service.instance_create(&world.customer, request).await.unwrap();
    agent.work_all().await;
    (there, made.instance.id)
}

pub(crate) async fn two_admins_do_not_overwrite_each_others_changes(world: World) {
    let (service, admin, id) = (&world.service, &world.admin, world.location.id);
    let seen = service.admin_location_show(admin, id).await.unwrap().version;
    let first = LocationPatch { version: Some(seen), iso_enabled: Some(true), ..LocationPatch::default() };
    assert_eq!(service.location_update(admin, id, first.clone()).await.unwrap().version, seen + 1);
    let refused = service.location_update(admin, id, first).await.unwrap_err();
    assert_eq!(refused.code, Code::PreconditionFailed);
    assert_eq!(refused.context["version"], (seen + 1).to_string());
    let any = LocationPatch { iso_enabled: Some(false), ..LocationPatch::default() };
    service.location_update(admin, id, any).await.unwrap();
    let now = service.admin_location_show(admin, id).await.unwrap();
    assert_eq!((now.version, now.iso_enabled), (seen + 2, false));
}

/// A capture that failed takes nothing of the limits, and trying it again is subject to the rules
/// of a new one (S124, S126).
pub(crate) async fn a_failed_capture_takes_no_slot_and_its_retry_asks_for_one(world: World) {
    let limit = LocationPatch { default_image_limit: Some(Some(1)), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, limit).await.unwrap();
    let failed = world.capture("fails").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(world.task(failed.task.id).await.state, TaskState::Failed);
    let used = world.service.account_current(&world.customer).await.unwrap();
    assert_eq!((used.images_used, used.image_bytes_used), (0, size(0)));

    let other = world.image("takes the slot").await;
    let refused = world.service.task_retry(&world.customer, failed.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::ImageLimitReached);
    world.service.image_delete(&world.customer, other, None).await.unwrap();
    let switch = |on| LocationPatch { images_enabled: Some(on), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, switch(false)).await.unwrap();
    let refused = world.service.task_retry(&world.customer, failed.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::ImageFeatureDisabled);
    world.service.location_update(&world.admin, world.location.id, switch(true)).await.unwrap();
    world.service.task_retry(&world.customer, failed.task.id).await.unwrap();
    assert_eq!(world.service.account_current(&world.customer).await.unwrap().images_used, 1);
    world.agent.work_all().await;
    assert_eq!(world.task(failed.task.id).await.state, TaskState::Succeeded);
}

fn key(text: &str, body: u8) -> Idempotency {
    Idempotency {
        method: "POST".into(),
        path: "/api/v1/images".into(),
        key: text.into(),
        body_hash: [body; 32],
    }
}

pub(crate) async fn a_key_makes_one_image_however_often_it_is_sent(world: World) {
    let world = Arc::new(world);
    let with_key = |text: &str, body| world.customer.clone().with_idempotency(Some(key(text, body)));
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let (world, op) = (Arc::clone(&world), with_key("one", 1));
            tokio::spawn(async move {
                world.service.image_capture(&op, world.capture_request("once")).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    for answer in &answers {
        assert_eq!((&answer.image, &answer.task), (&answers[0].image, &answers[0].task), "the same answer");
    }
    let reused =
        world.service.image_capture(&with_key("one", 2), world.capture_request("else")).await.unwrap_err();
    assert_eq!(reused.code, Code::IdempotencyKeyReused);
    let other =
        world.service.image_capture(&with_key("two", 1), world.capture_request("else")).await.unwrap();
    assert_ne!(other.image.id, answers[0].image.id);
    let bad =
        world.service.image_capture(&with_key("no spaces", 1), world.capture_request("x")).await.unwrap_err();
    assert_eq!(bad.code, Code::InvalidRequest);
    // A refused request leaves nothing behind: the key can be used again.
    let off = LocationPatch { images_enabled: Some(false), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, off).await.unwrap();
    let refused =
        world.service.image_capture(&with_key("three", 1), world.capture_request("x")).await.unwrap_err();
    assert_eq!(refused.code, Code::ImageFeatureDisabled);
    let on = LocationPatch { images_enabled: Some(true), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, on).await.unwrap();
    assert!(
        !world
            .service
            .image_capture(&with_key("three", 1), world.capture_request("x"))
            .await
            .unwrap()
            .replayed
    );
    // After a day it is forgotten.
    world.environment.advance(24 * 3600);
    world.agent.heartbeat(&[]).await.unwrap();
    let fresh =
        world.service.image_capture(&with_key("one", 2), world.capture_request("next day")).await.unwrap();
    assert!(!fresh.replayed);
}

pub(crate) async fn what_forbids_a_capture_says_so(world: World) {
    let refused = async |request| world.service.image_capture(&world.customer, request).await.unwrap_err();
    let off = LocationPatch { images_enabled: Some(false), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, off).await.unwrap();
    let error = refused(world.capture_request("x")).await;
    assert_eq!(error.code.title(), "Image feature is not enabled");
    let shown = world.service.instance_show(&world.customer, world.instance).await.unwrap();
    assert_eq!(shown.capture.code.as_deref(), Some("image_feature_disabled"));
    let on = LocationPatch { images_enabled: Some(true), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, on).await.unwrap();

    let room = |available| StorageReport {
        id: world.images,
        total: Some(size(1 << 30)),
        available: Some(size(available)),
        problem: None,
        read_only: false,
        marked: true,
    };
    world.agent.report(&[], vec![room(1000)]).await.unwrap();
    assert_eq!(refused(world.capture_request("x")).await.code, Code::InsufficientStorage);
    world.agent.report(&[], vec![room(1 << 29)]).await.unwrap();

    let store = Store::open(&world.target).await.unwrap();
    let tx = store.write_tx().await.unwrap();
    let mut record = imprint_store::instance::get(&tx.conn(), world.instance).await.unwrap().unwrap();
    let parts = InstanceParts { boot_source: BootSource::Volume, ..(*record.instance).clone() };
    record.instance = Instance::from_parts(parts);
    imprint_store::instance::update(&tx, &record).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(refused(world.capture_request("x")).await.code, Code::BootFromVolumeNotSupported);
    let tx = store.write_tx().await.unwrap();
    let parts = InstanceParts { boot_source: BootSource::Disk, ..(*record.instance).clone() };
    record.instance = Instance::from_parts(parts);
    imprint_store::instance::update(&tx, &record).await.unwrap();
    tx.commit().await.unwrap();

    world.environment.advance(46);
    assert_eq!(refused(world.capture_request("x")).await.code, Code::HypervisorOffline);
    let offline = world.service.instance_create(&world.customer, world.deployment("x")).await.unwrap_err();
    assert_eq!(offline.code, Code::HypervisorOffline);
    unbound(&world).await;
}

/// A second hypervisor without storages: nothing can be deployed onto it, nothing captured from it.
async fn unbound(world: &World) {
    world.agent.heartbeat(&[]).await.unwrap();
    let request = HypervisorCreate {
        name: name("host-2"),
        location_id: world.location.id,
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::new(),
        max_work: None,
        max_captures: None,
    };
    let second = world.service.hypervisor_create(&world.admin, request).await.unwrap().id;
    let agent = Agent::new(&world.service, second, &world.environment);
    agent.register().await.unwrap();
    let there = InstanceCreate { hypervisor_id: Some(second), ..world.deployment("there") };
    let error = world.service.instance_create(&world.customer, there.clone()).await.unwrap_err();
    assert_eq!(error.code, Code::ImageNotReachable);
    world.service.storage_bind(&world.admin, world.stock, second).await.unwrap();
    world.service.storage_bind(&world.admin, world.stock, second).await.unwrap();
    let made = world.service.instance_create(&world.customer, there).await.unwrap();
    assert!(world.agent.claim(8, 0).await.is_empty(), "each agent gets its own work");
    agent.work_all().await;
    let mut request = world.capture_request("x");
    request.instance_id = made.instance.id;
    let error = world.service.image_capture(&world.customer, request).await.unwrap_err();
    assert_eq!(error.code, Code::NoImageStorageBound, "a stock storage takes no captures");
    assert_eq!(StorageRole::Stock.as_str(), "stock");
    let small = InstanceCreate { disk_size: Some(size(1 << 20)), ..world.deployment("small") };
    let error = world.service.instance_create(&world.customer, small).await.unwrap_err();
    assert_eq!(error.code, Code::DiskTooSmall);
}

pub(crate) async fn deleting_frees_the_slot_and_leaves_instances_alone(world: World) {
    let limit = LocationPatch { default_image_limit: Some(Some(1)), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, limit).await.unwrap();
    let image = world.image("golden").await;
    let request = InstanceCreate { image_id: image, ..world.deployment("copy") };
    let copy = world.service.instance_create(&world.customer, request).await.unwrap();
    let in_use = world.service.image_delete(&world.customer, image, None).await.unwrap_err();
    assert_eq!(in_use.code, Code::ImageInUse, "while it is being deployed");
    world.agent.work_all().await;
    let version = world.service.image_show(&world.customer, image).await.unwrap().version;
    let stale = world.service.image_delete(&world.customer, image, Some(version - 1)).await.unwrap_err();
    assert_eq!(stale.code, Code::PreconditionFailed);
    world.service.image_delete(&world.customer, image, Some(version)).await.unwrap();
    let request = InstanceCreate { image_id: image, ..world.deployment("late") };
    let late = world.service.instance_create(&world.customer, request).await.unwrap_err();
    assert_eq!(late.code, Code::ImageNotAvailable);
    world.capture("next").await;
    world.agent.work_all().await;
    let shown = world.service.instance_show(&world.customer, copy.instance.id).await.unwrap();
    assert_eq!(shown.image, None, "it does not depend on the image (S61)");
    assert_eq!(shown.status, imprint_domain::instance::InstanceStatus::Ready);
}
