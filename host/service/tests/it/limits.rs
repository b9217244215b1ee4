//! Slots, keys and rules.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{collections::BTreeMap, sync::Arc};

use imprint_agent_protocol::StorageReport;
use imprint_domain::{
    Code,
    instance::{BootSource, Instance, InstanceParts},
    storage::StorageRole,
};
use imprint_service::{
    AccountPatch, HypervisorCreate, Idempotency, ImageList, InstanceCreate, LocationPatch, PageRequest,
};
use imprint_store::Store;

use crate::support::{Agent, World, name, open, size};

pub(crate) async fn of_200_simultaneous_captures_the_free_slots_succeed(world: World) {
    let limit = LocationPatch { default_image_limit: Some(Some(9)), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, limit).await.unwrap();
    world.image("first").await;
    world.image("second").await;
    let world = Arc::new(world);
    // Two control planes over one database.
    let second = open(&world.target, &world.environment).await;
    let requests: Vec<_> = (0..200)
        .map(|index| {
            let world = Arc::clone(&world);
            let service = if index % 2 == 0 { world.service.clone() } else { second.clone() };
            tokio::spawn(async move {
                let request = world.capture_request(&format!("race {index}"));
                service.image_capture(&world.customer, request).await
            })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for request in requests {
        match request.await.unwrap() {
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
    assert_eq!((limits.image_limit, limits.images_used), (Some(9), 9));
    let list = ImageList {
        page: PageRequest { limit: Some(500), ..PageRequest::default() },
        ..ImageList::default()
    };
    assert_eq!(world.service.image_list(&world.customer, &list).await.unwrap().items.len(), 9);
    // The account's own limit comes first.
    let account = world.customer.account_id();
    let patch = AccountPatch { image_limit: Some(Some(10)) };
    world.service.account_update(&world.admin, account, patch).await.unwrap();
    world.capture("one more").await;
    let full =
        world.service.image_capture(&world.customer, world.capture_request("too many")).await.unwrap_err();
    assert_eq!(full.code, Code::ImageLimitReached);
    let shown = world.service.instance_show(&world.customer, world.instance).await.unwrap();
    assert_eq!(shown.capture.code.as_deref(), Some("image_limit_reached"));
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
