//! Image storages as operators manage them: what they take, who sees what of them, and room that is
//! never promised twice.

#![expect(clippy::disallowed_methods, reason = "tests run what they test in the background")]

use std::{collections::BTreeMap, sync::Arc};

use imprint_agent_protocol::{InstanceReport, StorageKindReport, StorageReport};
use imprint_domain::{
    Code, Error,
    id::{HypervisorId, StorageId},
    image::ImageStatus,
    instance::Power,
    plugin_kind::StorageKind,
    size::ByteSize,
    storage::{HealthClass, StorageRole, StorageState, Weight},
};
use imprint_service::{
    Busy, CaptureCreate, HypervisorCreate, ImageList, ImageScope, LocationCreate, PageRequest, StorageCreate,
    StorageList, StoragePatch, StorageView,
};
use imprint_store::Store;

use crate::support::{Agent, World, failure, lease, local_kind, name, open, size, success};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What a capture of an instance of the world reserves: what its disk occupies, and the overhead.
pub(crate) const NEEDED: u64 = (4 + 16) * MIB;

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

pub(crate) fn report(id: StorageId, available: Option<u64>) -> StorageReport {
    StorageReport {
        id,
        total: available.map(|_| size(100 * GIB)),
        available: available.map(size),
        problem: None,
        read_only: false,
        marked: true,
    }
}

pub(crate) async fn shown(world: &World, id: StorageId) -> StorageView {
    world.service.storage_show(&world.admin, id).await.unwrap()
}

pub(crate) async fn edit(world: &World, id: StorageId, patch: StoragePatch) -> StorageView {
    world.service.storage_update(&world.admin, id, patch, None).await.unwrap()
}

pub(crate) async fn create(world: &World, text: &str, kind: &str, role: StorageRole) -> StorageId {
    // A kind without a schema, as of a plugin that says nothing of its settings.
    let objects = StorageKindReport { kind: "objects".parse().unwrap(), schema: None, ..local_kind() };
    world.agent.register_with(vec![local_kind(), objects]).await.unwrap();
    let settings = BTreeMap::from([("path".to_owned(), format!("/srv/{text}"))]);
    let request = StorageCreate::new(name(text), role, kind.parse().unwrap(), settings);
    world.service.storage_create(&world.admin, request).await.unwrap().id
}

pub(crate) async fn second_hypervisor(world: &World) -> (HypervisorId, Agent) {
    let request = HypervisorCreate {
        name: name("host-2"),
        location_id: world.location.id,
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::new(),
        max_work: None,
        max_captures: None,
    };
    let id = world.service.hypervisor_create(&world.admin, request).await.unwrap().id;
    let agent = Agent::new(&world.service, id, &world.environment);
    agent.register().await.unwrap();
    (id, agent)
}

pub(crate) async fn each_hypervisor_has_its_own_health(world: World) {
    let (second, other) = second_hypervisor(&world).await;
    world.service.storage_bind(&world.admin, world.images, second).await.unwrap();
    world.agent.report(&[], vec![report(world.images, Some(50 * GIB))]).await.unwrap();
    let broken = StorageReport { problem: Some("no route".into()), ..report(world.images, None) };
    for _ in 0..3 {
        other.report(&[], vec![broken.clone()]).await.unwrap();
        world.agent.report(&[], vec![report(world.images, Some(50 * GIB))]).await.unwrap();
        let view = shown(&world, world.images).await;
        assert_eq!(view.health, HealthClass::Unreachable, "whoever reports last");
        assert_eq!(view.problem.as_deref(), Some("on host-2: no route"));
        assert_eq!(view.available_bytes, Some(size(50 * GIB)));
        let classes: Vec<_> = view.bindings.iter().map(|binding| binding.health).collect();
        assert_eq!(classes, [HealthClass::Healthy, HealthClass::Unreachable]);
    }
    // The instance's hypervisor can use it.
    world.capture("fine").await;
    other
        .report(&[], vec![StorageReport { read_only: true, ..report(world.images, Some(GIB)) }])
        .await
        .unwrap();
    let view = shown(&world, world.images).await;
    assert_eq!(view.health, HealthClass::ReadOnly);
    assert!(view.problem.is_some_and(|text| text.contains("read-only")));
    world.service.storage_unbind(&world.admin, world.images, second, false).await.unwrap();
    assert_eq!(shown(&world, world.images).await.health, HealthClass::Healthy, "its report went with it");
    world.environment.advance(60);
    assert_eq!(shown(&world, world.images).await.health, HealthClass::Unknown);
}

pub(crate) async fn a_storage_that_cannot_be_written_takes_no_capture(world: World) {
    let capture =
        async || code(world.service.image_capture(&world.customer, world.capture_request("x")).await);
    let read_only = StorageReport { read_only: true, ..report(world.images, Some(GIB)) };
    world.agent.report(&[], vec![read_only]).await.unwrap();
    assert_eq!(capture().await, Some(Code::StorageUnavailable));
    let gone = StorageReport { problem: Some("not mounted".into()), ..report(world.images, None) };
    world.agent.report(&[], vec![gone]).await.unwrap();
    assert_eq!(capture().await, Some(Code::StorageUnavailable));
    world.agent.report(&[], vec![report(world.images, Some(GIB))]).await.unwrap();
    for state in [StorageState::ReadOnly, StorageState::Draining] {
        edit(&world, world.images, StoragePatch { state: Some(state), ..StoragePatch::default() }).await;
        assert_eq!(capture().await, Some(Code::StorageUnavailable), "{state}");
    }
    let active = StoragePatch { state: Some(StorageState::Active), ..StoragePatch::default() };
    edit(&world, world.images, active).await;
    assert_eq!(capture().await, None);
    let view = shown(&world, world.images).await;
    assert_eq!(view.health, HealthClass::NearlyFull, "1 GiB of 100 GiB");
    assert!(view.problem.is_some_and(|text| text.contains("nearly full")));
}

pub(crate) async fn simultaneous_captures_never_overbook_a_storage(world: World) {
    let mut instances = vec![world.instance];
    for index in 0..11 {
        instances.push(world.deploy(&format!("more-{index}")).await);
    }
    let room = report(world.images, Some(5 * NEEDED + NEEDED / 2));
    world.agent.report(&[], vec![room.clone()]).await.unwrap();
    let world = Arc::new(world);
    // Two control planes over one database.
    let second = open(&world.target, &world.environment).await;
    let requests: Vec<_> = (0..24)
        .map(|index| {
            let world = Arc::clone(&world);
            let service = if index % 2 == 0 { world.service.clone() } else { second.clone() };
            let instance_id = instances[index % instances.len()];
            tokio::spawn(async move {
                let request =
                    CaptureCreate { instance_id, ..world.capture_request(&format!("race {index}")) };
                service.image_capture(&world.customer, request).await
            })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for request in requests {
        match request.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error.code, Code::InsufficientStorage, "{error:?}");
                assert!(error.detail.starts_with("insufficient storage space on the image storage backend"));
                assert_eq!(error.context["needed"], NEEDED.to_string());
                refused += 1;
            }
        }
    }
    assert_eq!((made, refused), (5, 19));
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(5 * NEEDED));
    let again = async || code(world.service.image_capture(&world.customer, world.capture_request("x")).await);

    // What was written is not free again before a report was measured after it.
    world.agent.work_all().await;
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(5 * (5 * MIB)));
    assert_eq!(again().await, None, "only what the images really take is still counted");
    world.agent.report(&[], vec![room]).await.unwrap();
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(25 * MIB + NEEDED));
    world.environment.advance(10);
    world.agent.report(&[], vec![report(world.images, Some(3 * NEEDED))]).await.unwrap();
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(NEEDED));
}

pub(crate) async fn a_capture_that_ends_without_an_image_gives_its_room_back(world: World) {
    let reserved = async || shown(&world, world.images).await.reserved_bytes;
    let cancelled = world.capture("cancelled").await;
    assert_eq!(reserved().await, size(NEEDED));
    world.service.task_cancel(&world.customer, cancelled.task.id).await.unwrap();
    assert_eq!(reserved().await, ByteSize::ZERO, "it had not begun");

    let failed = world.capture("failed").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(reserved().await, size(NEEDED), "its agent removes what it wrote");
    world.service.task_retry(&world.customer, failed.task.id).await.unwrap();
    assert_eq!(reserved().await, size(NEEDED), "it is not counted twice");
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    world.pass(15, &[]).await;
    world.agent.report(&[], vec![report(world.images, Some(50 * GIB))]).await.unwrap();
    assert_eq!(reserved().await, ByteSize::ZERO);

    // An instance whose disk is known to hold little needs little.
    let little = InstanceReport {
        id: world.instance,
        power: Power::Running,
        disk_allocated: Some(size(MIB)),
        network: None,
    };
    world.agent.report_instances(vec![little]).await;
    world.capture("little").await;
    assert_eq!(reserved().await, size(17 * MIB));
    // Storages without a report of their free space keep nothing for ever.
    world.agent.work_all().await;
    world.environment.advance(200);
    world.service.reconcile_once().await.unwrap();
    assert_eq!(reserved().await, ByteSize::ZERO);
}

pub(crate) async fn a_retry_finds_another_storage_when_its_own_takes_nothing(world: World) {
    let other = create(&world, "other", "objects", StorageRole::Customer).await;
    world.service.storage_bind(&world.admin, other, world.hypervisor).await.unwrap();
    let weight = StoragePatch { weight: Weight::new(1000).ok(), ..StoragePatch::default() };
    edit(&world, world.images, weight).await;
    let made = world.capture("moved").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    let place = async || {
        let image = world.service.image_show(&world.admin, made.image.id).await.unwrap();
        image.storage.unwrap().id
    };
    assert_eq!(place().await, world.images);
    let read_only = StoragePatch { state: Some(StorageState::ReadOnly), ..StoragePatch::default() };
    edit(&world, world.images, read_only).await;
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    assert_eq!(place().await, other);
    assert_eq!(shown(&world, other).await.reserved_bytes, size(NEEDED));
    assert_eq!(shown(&world, world.images).await.reserved_bytes, ByteSize::ZERO);
    world.agent.work_all().await;
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!((image.status, image.storage), (ImageStatus::Available, None), "customers do not see where");
}

pub(crate) async fn the_request_or_the_weight_decides_where_an_image_goes(world: World) {
    let objects = create(&world, "objects", "objects", StorageRole::Customer).await;
    world.service.storage_bind(&world.admin, objects, world.hypervisor).await.unwrap();
    world.agent.report(&[], vec![report(world.images, Some(50 * GIB)), report(objects, None)]).await.unwrap();
    let place = async |asked: Option<StorageId>| {
        let request = CaptureCreate { storage_id: asked, ..world.capture_request("x") };
        let made = world.service.image_capture(&world.admin, request).await?;
        world.agent.work_all().await;
        Ok::<_, Error>(made.image.storage.unwrap().id)
    };
    assert_eq!(place(Some(objects)).await.unwrap(), objects);
    let patch = StoragePatch { weight: Weight::new(200).ok(), ..StoragePatch::default() };
    edit(&world, objects, patch).await;
    assert_eq!(place(None).await.unwrap(), objects, "it reports no free space");
    let patch = StoragePatch { weight: Weight::new(0).ok(), ..StoragePatch::default() };
    edit(&world, objects, patch).await;
    assert_eq!(place(None).await.unwrap(), world.images);
    assert_eq!(place(Some(objects)).await.unwrap(), objects);
    assert_eq!(code(place(Some(world.stock)).await), Some(Code::NoImageStorageBound), "another role");
    let list = ImageList { storage_id: Some(objects), scope: ImageScope::All, ..ImageList::default() };
    let there = world.service.image_list(&world.admin, &list).await.unwrap().items;
    assert_eq!(there.len(), 3);
    let view = shown(&world, objects).await;
    let counted: Vec<_> = view.images.iter().map(|images| (images.status, images.count)).collect();
    assert_eq!(counted, [(ImageStatus::Available, 3)]);
    assert_eq!(view.images[0].bytes, size(15 * MIB));
}

pub(crate) async fn a_folder_of_one_machine_is_bound_once(world: World) {
    let (second, _agent) = second_hypervisor(&world).await;
    let local = create(&world, "local", StorageKind::LOCAL, StorageRole::Customer).await;
    let bind = async |id, hypervisor| code(world.service.storage_bind(&world.admin, id, hypervisor).await);
    assert_eq!(bind(local, world.hypervisor).await, None);
    assert_eq!(bind(local, world.hypervisor).await, None, "twice changes nothing");
    assert_eq!(bind(local, second).await, Some(Code::StorageNotShared));
    let shared = |shared| StoragePatch { shared_path: Some(shared), ..StoragePatch::default() };
    edit(&world, local, shared(true)).await;
    assert_eq!(bind(local, second).await, None);
    let refused = world.service.storage_update(&world.admin, local, shared(false), None).await;
    assert_eq!(code(refused), Some(Code::StorageNotShared));
    let objects = create(&world, "objects", "objects", StorageRole::Customer).await;
    assert_eq!(bind(objects, world.hypervisor).await, None);
    assert_eq!(bind(objects, second).await, None);
    let refused = world.service.storage_update(&world.admin, objects, shared(true), None).await.unwrap_err();
    assert_eq!(refused.pointer.as_deref(), Some("/shared_path"));
}

pub(crate) async fn a_storage_is_changed_by_who_has_read_it(world: World) {
    let before = shown(&world, world.images).await;
    let renamed = StoragePatch {
        name: Some(name("renamed")),
        min_free: Some(Some(size(GIB))),
        ..StoragePatch::default()
    };
    let update =
        async |patch, version| world.service.storage_update(&world.admin, world.images, patch, version).await;
    let after = update(renamed.clone(), Some(before.version)).await.unwrap();
    assert_eq!((after.name.as_str(), after.version), ("renamed", before.version + 1));
    assert_eq!(code(update(renamed, Some(before.version)).await), Some(Code::PreconditionFailed));
    let taken = StoragePatch { name: Some(name("stock")), ..StoragePatch::default() };
    assert_eq!(code(update(taken, None).await), Some(Code::NameTaken));
    let bad = StoragePatch { settings: Some(BTreeMap::new()), ..StoragePatch::default() };
    assert_eq!(update(bad, None).await.unwrap_err().pointer.as_deref(), Some("/settings/path"));
    let target = |id| StoragePatch {
        state: Some(StorageState::Draining),
        drain_to: Some(Some(id)),
        ..StoragePatch::default()
    };
    let wrong_role = update(target(world.stock), None).await.unwrap_err();
    assert_eq!((wrong_role.code, wrong_role.pointer.as_deref()), (Code::InvalidRequest, Some("/drain_to")));
    let list = async |list: StorageList| {
        let page = world.service.storage_list(&world.admin, &list).await.unwrap();
        page.items.into_iter().map(|view| view.id).collect::<Vec<_>>()
    };
    let stock = StorageList { role: Some(StorageRole::Stock), ..StorageList::default() };
    assert_eq!(list(stock).await, [world.stock]);
    let bound = StorageList { hypervisor_id: Some(world.hypervisor), ..StorageList::default() };
    assert_eq!(list(bound).await, [world.images, world.stock]);
    let draining = StorageList { state: Some(StorageState::Draining), ..StorageList::default() };
    assert!(list(draining).await.is_empty());
    let store = Store::open(&world.target).await.unwrap();
    let rows = imprint_store::audit::of_resource(&store.read(), &world.images.to_string(), 10).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["storage.create", "storage.bind", "storage.update"]);
}

pub(crate) async fn what_is_needed_is_neither_unbound_nor_deleted(world: World) {
    let unbind =
        async |force| world.service.storage_unbind(&world.admin, world.images, world.hypervisor, force).await;
    let delete = async |id| code(world.service.storage_delete(&world.admin, id, None).await);
    let made = world.capture("needed").await;
    let refused = unbind(true).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceInUse);
    assert_eq!(refused.context["task_id"], made.task.id.to_string());
    world.agent.work_all().await;
    let refused = unbind(false).await.unwrap_err();
    assert_eq!((refused.code, refused.context["images"].as_str()), (Code::ResourceInUse, "1"));
    assert_eq!(delete(world.images).await, Some(Code::ResourceInUse));
    assert!(unbind(true).await.unwrap().bindings.is_empty());
    assert!(unbind(false).await.is_ok(), "twice changes nothing");
    world.service.storage_bind(&world.admin, world.images, world.hypervisor).await.unwrap();
    world.service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    assert_eq!(delete(world.images).await, Some(Code::ResourceInUse), "its file is still to be removed");
    world.agent.work_all().await;
    let other = create(&world, "other", "objects", StorageRole::Customer).await;
    let drained = StoragePatch {
        state: Some(StorageState::Draining),
        drain_to: Some(Some(world.images)),
        ..StoragePatch::default()
    };
    edit(&world, other, drained).await;
    let refused = world.service.storage_delete(&world.admin, world.images, None).await.unwrap_err();
    assert_eq!(refused.context["storage_id"], other.to_string());
    assert_eq!(delete(other).await, None);
    let stale = world.service.storage_delete(&world.admin, world.images, Some(999)).await;
    assert_eq!(code(stale), Some(Code::PreconditionFailed));
    assert_eq!(delete(world.images).await, None);
    assert_eq!(delete(world.images).await, Some(Code::NotFound));
    let page = world.service.storage_list(&world.admin, &StorageList::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

pub(crate) async fn places_that_nothing_refers_to_are_deleted(world: World) {
    let service = &world.service;
    let refused = service.location_delete(&world.admin, world.location.id).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceInUse);
    assert_eq!(refused.context["hypervisors"], "1");
    assert_eq!(refused.context["images"], "1");
    let refused = service.hypervisor_delete(&world.admin, world.hypervisor).await.unwrap_err();
    assert_eq!(refused.context["instances"], "1");

    let (second, agent) = second_hypervisor(&world).await;
    let token = service.agent_token_create(&world.admin, second).await.unwrap();
    service.storage_bind(&world.admin, world.images, second).await.unwrap();
    let page = PageRequest::default();
    let tokens = async || service.agent_token_list(&world.admin, second, &page).await.unwrap().items;
    assert_eq!(tokens().await.iter().map(|token| token.id).collect::<Vec<_>>(), [token.view.id]);
    let wrong = service.agent_token_delete(&world.admin, world.hypervisor, token.view.id).await;
    assert_eq!(code(wrong), Some(Code::NotFound));
    service.agent_token_delete(&world.admin, second, token.view.id).await.unwrap();
    assert!(tokens().await.is_empty());
    assert_eq!(code(service.agent_authenticate(&token.token).await), Some(Code::Unauthenticated));
    let refused = service.hypervisor_delete(&world.admin, second).await.unwrap_err();
    assert_eq!(refused.context["agent"], "online");
    world.environment.advance(60);
    // A task of the past, whose image stays.
    world.agent.heartbeat(&[]).await.unwrap();
    service.hypervisor_delete(&world.admin, second).await.unwrap();
    assert!(agent.register().await.is_err(), "there is no such hypervisor any more");
    assert_eq!(shown(&world, world.images).await.bindings.len(), 1);

    // Its own tasks do not keep a hypervisor.
    let image = world.image("stays").await;
    service.instance_delete(&world.customer, world.instance, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    world.environment.advance(60);
    service.hypervisor_delete(&world.admin, world.hypervisor).await.unwrap();
    let left = service.image_show(&world.customer, image).await.unwrap();
    assert_eq!((left.status, left.task_id), (ImageStatus::Available, None));
    let empty = LocationCreate {
        name: name("empty"),
        images_enabled: false,
        sharing_enabled: true,
        iso_enabled: true,
        import_enabled: true,
        export_enabled: true,
        default_image_limit: None,
        default_image_bytes_limit: None,
        coalesce: imprint_domain::coalesce::CoalescePolicy::default(),
        freeze_limit: imprint_domain::location::FreezeLimit::default(),
    };
    let empty = service.location_create(&world.admin, empty).await.unwrap().id;
    service.location_delete(&world.admin, empty).await.unwrap();
    assert_eq!(code(service.location_delete(&world.admin, empty).await), Some(Code::NotFound));
}

pub(crate) async fn the_figures_of_storages_are_published(world: World) {
    world.agent.report(&[], vec![report(world.images, Some(50 * GIB))]).await.unwrap();
    world.image("one").await;
    world.capture("two").await;
    let metrics = world.service.storage_metrics().await.unwrap();
    let images = metrics.iter().find(|metrics| metrics.id == world.images).unwrap();
    assert_eq!((images.images, images.image_bytes), (2, size(5 * MIB)));
    assert_eq!(images.reserved_bytes, size(5 * MIB + NEEDED), "one of them is about to settle");
    assert_eq!(images.available_bytes, Some(size(50 * GIB)));
    assert_eq!(images.health, HealthClass::Healthy);
}

pub(crate) async fn a_lost_lease_keeps_its_reservation(world: World) {
    world.capture("again").await;
    let work = world.agent.claim_one().await;
    world.environment.advance(60);
    world.agent.heartbeat(&[]).await.unwrap();
    world.service.reconcile_once().await.unwrap();
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(NEEDED));
    assert!(world.agent.heartbeat(&[lease(&work)]).await.unwrap().lost.contains(&work.task_id));
    world.pass(60, &[]).await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(shown(&world, world.images).await.reserved_bytes, size(5 * MIB));
}
