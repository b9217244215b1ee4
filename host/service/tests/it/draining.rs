//! Draining: the images of a storage move to another one while they stay in use.

use std::collections::BTreeMap;

use imprint_agent_protocol::{AssignmentKind, Fingerprint, ObjectServer, Outcome};
use imprint_domain::{
    Code,
    id::{HypervisorId, ImageId, StorageId},
    image::{Image, ImageStatus},
    storage::{StorageRole, StorageState},
    task::{TaskKind, TaskState},
};
use imprint_service::{HypervisorCreate, InstanceCreate, StoragePatch, TaskList, TaskView};
use imprint_store::{
    Store,
    image::{self, ImageRecord},
};
use uuid::Uuid;

use crate::{
    storages::{create, edit, report, second_hypervisor, shown},
    support::{Agent, World, failure, name, size, success},
};

fn drained(to: Option<StorageId>) -> StoragePatch {
    StoragePatch { state: Some(StorageState::Draining), drain_to: Some(to), ..StoragePatch::default() }
}

async fn other(world: &World) -> StorageId {
    let other = create(world, "other", "objects", StorageRole::Customer).await;
    world.service.storage_bind(&world.admin, other, world.hypervisor).await.unwrap();
    other
}

async fn place(world: &World, id: ImageId) -> (StorageId, String) {
    let place = world.service.image_show(&world.admin, id).await.unwrap().storage.unwrap();
    (place.id, place.key)
}

/// The tasks of a kind that are not over.
async fn active(world: &World, kind: TaskKind) -> Vec<TaskView> {
    let list = TaskList { state: vec![TaskState::Queued, TaskState::Running], ..TaskList::default() };
    let tasks = world.service.task_list(&world.admin, &list).await.unwrap().items;
    tasks.into_iter().filter(|task| task.kind == kind).collect()
}

pub(crate) async fn a_drained_storage_moves_its_images_and_can_be_removed(world: World) {
    let mut images = Vec::new();
    for text in ["one", "two", "three"] {
        images.push(world.image(text).await);
    }
    let target = other(&world).await;
    edit(&world, world.images, drained(Some(target))).await;
    let moves = world.service.reconcile_once().await.unwrap().moves;
    assert_eq!(moves, 2, "a few at a time");
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 0);
    assert_eq!(shown(&world, target).await.reserved_bytes, size(2 * (21 << 20)), "5 MiB and the overhead");
    for image in &images {
        assert_eq!(place(&world, *image).await.0, world.images, "readers see the old place until the switch");
    }
    while shown(&world, world.images).await.images.iter().any(|images| images.count > 0) {
        world.agent.work_all().await;
        world.service.reconcile_once().await.unwrap();
    }
    for image in &images {
        let (storage, key) = place(&world, *image).await;
        assert_eq!(storage, target);
        assert!(key.starts_with(&image.to_string()), "{key}");
        let shown = world.service.image_show(&world.customer, *image).await.unwrap();
        assert_eq!(shown.status, ImageStatus::Available);
    }
    world.agent.work_all().await;
    assert!(active(&world, TaskKind::ObjectDelete).await.is_empty());
    world.service.storage_delete(&world.admin, world.images, None).await.unwrap();
    // What is deployed afterwards reads the new place.
    let request = InstanceCreate { image_id: images[0], ..world.deployment("later") };
    world.service.instance_create(&world.customer, request).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    assert_eq!(deploy.image.as_ref().unwrap().storage.id, target);
}

pub(crate) async fn images_that_fit_nowhere_hold_up_no_other(world: World) {
    let small = world.image("small").await;
    let store = Store::open(&world.target).await.unwrap();
    let tx = store.write_tx().await.unwrap();
    let record = image::get(&tx.conn(), small).await.unwrap().unwrap();
    for number in 1..=450_u32 {
        // Older than the small one, by their ids.
        let id = ImageId::new(Uuid::from_u128(u128::from(number)));
        let mut parts = (*record.image).clone();
        (parts.id, parts.name) = (id, name(&format!("large-{number}")));
        parts.storage_key = format!("{id}.qcow2");
        parts.stored.as_mut().unwrap().size = size(1 << 50);
        let image = Image::from_parts(parts).unwrap();
        image::insert(&tx, &ImageRecord { image, ..record.clone() }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let target = other(&world).await;
    world.agent.report(&[], vec![report(target, Some(1 << 30))]).await.unwrap();
    edit(&world, world.images, drained(Some(target))).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 1);
    world.agent.work_all().await;
    assert_eq!(place(&world, small).await.0, target);
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 0);
}

pub(crate) async fn a_file_that_is_still_read_is_removed_later(world: World) {
    let image = world.image("read").await;
    let (storage, key) = place(&world, image).await;
    let request = InstanceCreate { image_id: image, ..world.deployment("reader") };
    world.service.instance_create(&world.customer, request).await.unwrap();
    let reading = world.agent.claim_one().await;
    let target = other(&world).await;
    edit(&world, world.images, drained(None)).await;
    world.service.reconcile_once().await.unwrap();
    let moving = world.agent.claim_one().await;
    let AssignmentKind::MoveImage(order) = &moving.kind else { panic!("{moving:?}") };
    assert_eq!((order.image.storage.id, order.image.key.as_str()), (storage, key.as_str()));
    assert_eq!((order.to.id, order.size), (target, size(5 << 20)));
    world.agent.finish(&moving, success(&moving.kind)).await.unwrap();
    assert_eq!(place(&world, image).await.0, target);
    assert!(world.agent.claim(8, 0).await.is_empty(), "the deployment still reads the old file");
    let waiting = active(&world, TaskKind::ObjectDelete).await;
    assert_eq!(waiting[0].waiting_for.as_deref(), Some("the tasks that still read the file"));
    world.agent.finish(&reading, success(&reading.kind)).await.unwrap();
    let removal = world.agent.claim_one().await;
    let AssignmentKind::DeleteImage(order) = &removal.kind else { panic!("{removal:?}") };
    assert_eq!((order.image.storage.id, &order.image.key), (storage, &key));
    world.agent.finish(&removal, Outcome::Done).await.unwrap();
    assert_eq!(shown(&world, world.images).await.images, []);
}

pub(crate) async fn an_image_that_is_deleted_while_it_moves_leaves_nothing(world: World) {
    let image = world.image("going").await;
    let (storage, key) = place(&world, image).await;
    let target = other(&world).await;
    edit(&world, world.images, drained(None)).await;
    world.service.reconcile_once().await.unwrap();
    let moving = world.agent.claim_one().await;
    let AssignmentKind::MoveImage(order) = moving.kind.clone() else { panic!("{moving:?}") };
    world.service.image_delete(&world.customer, image, None).await.unwrap();
    assert!(active(&world, TaskKind::ImageMove).await[0].cancel_requested, "the deletion does not wait");
    // The copy was complete before the agent learnt of it.
    world.agent.finish(&moving, success(&moving.kind)).await.unwrap();
    let mut removed = Vec::new();
    for work in world.agent.claim(8, 0).await {
        let AssignmentKind::DeleteImage(order) = &work.kind else { panic!("{work:?}") };
        removed.push((order.image.storage.id, order.image.key.clone()));
        world.agent.finish(&work, Outcome::Done).await.unwrap();
    }
    removed.sort();
    let mut expected = vec![(storage, key), (target, order.key)];
    expected.sort();
    assert_eq!(removed, expected);
    let gone = world.service.image_show(&world.admin, image).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
}

pub(crate) async fn a_move_that_fails_is_tried_later_and_one_that_is_not_wanted_stops(world: World) {
    let image = world.image("stays").await;
    other(&world).await;
    edit(&world, world.images, drained(None)).await;
    world.service.reconcile_once().await.unwrap();
    let moving = world.agent.claim_one().await;
    world.agent.finish(&moving, failure(false)).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 0, "not at once");
    assert_eq!(place(&world, image).await.0, world.images);
    world.environment.advance(601);
    world.agent.heartbeat(&[]).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 1);
    let waiting = active(&world, TaskKind::ImageMove).await.remove(0);
    let active_again = StoragePatch { state: Some(StorageState::Active), ..StoragePatch::default() };
    edit(&world, world.images, active_again).await;
    let stopped = world.service.task_show(&world.admin, waiting.id).await.unwrap();
    assert_eq!(stopped.state, TaskState::Cancelled);
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 0);
    assert!(world.agent.claim(8, 0).await.is_empty());
}

/// A hypervisor that reaches no storage, with its agent.
async fn far(world: &World) -> (HypervisorId, Agent) {
    let far = HypervisorCreate {
        name: name("far"),
        location_id: world.location.id,
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::new(),
        max_work: None,
        max_captures: None,
    };
    let far = world.service.hypervisor_create(&world.admin, far).await.unwrap().id;
    let agent = Agent::new(&world.service, far, &world.environment);
    agent.register().await.unwrap();
    (far, agent)
}

pub(crate) async fn an_image_comes_to_the_hypervisor_that_needs_it(world: World) {
    let image = world.image("here").await;
    let (far, agent) = far(&world).await;
    let request =
        || InstanceCreate { image_id: image, hypervisor_id: Some(far), ..world.deployment("far away") };
    let refused = world.service.instance_create(&world.customer, request()).await.unwrap_err();
    assert_eq!(refused.code, Code::ImageNotReachable, "nothing reaches both");
    assert!(refused.detail.contains("--object-listen"), "{}", refused.detail);
    let shared = other(&world).await;
    world.service.storage_bind(&world.admin, shared, far).await.unwrap();
    let made = world.service.instance_create(&world.customer, request()).await.unwrap();
    assert!(agent.claim(8, 0).await.is_empty(), "it waits for the image");
    let waiting = world.task(made.task.id).await.waiting_for.unwrap_or_default();
    assert!(waiting.contains("copied to a storage of this hypervisor"), "{waiting}");
    let second = InstanceCreate { name: name("second"), ..request() };
    world.service.instance_create(&world.customer, second).await.unwrap();
    assert_eq!(active(&world, TaskKind::ImageMove).await.len(), 1, "one copy for both");
    world.agent.work_all().await;
    assert_eq!(place(&world, image).await.0, shared);
    let work = agent.claim(8, 0).await;
    assert_eq!(work.len(), 2);
    for assignment in work {
        let AssignmentKind::Deploy(deploy) = &assignment.kind else { panic!("{:?}", assignment.kind) };
        assert_eq!(deploy.image.as_ref().unwrap().storage.id, shared);
        agent.finish(&assignment, success(&assignment.kind)).await.unwrap();
    }
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}

pub(crate) async fn a_copy_that_fails_fails_the_deployment_until_it_is_retried(world: World) {
    let image = world.image("here").await;
    let (far, agent) = far(&world).await;
    let shared = other(&world).await;
    world.service.storage_bind(&world.admin, shared, far).await.unwrap();
    let request =
        InstanceCreate { image_id: image, hypervisor_id: Some(far), ..world.deployment("far away") };
    let made = world.service.instance_create(&world.customer, request).await.unwrap();
    let work = world.agent.claim_one().await;
    assert!(matches!(work.kind, AssignmentKind::MoveImage(_)), "{:?}", work.kind);
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert!(agent.claim(8, 0).await.is_empty());
    let failed = world.task(made.task.id).await;
    assert_eq!(failed.state, TaskState::Failed, "{failed:?}");
    assert_eq!(failed.error.unwrap().code, "image_not_reachable");
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    world.agent.work_all().await;
    agent.work_all().await;
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}

/// S10: the agent that serves the image goes away, and another one can copy the image.
pub(crate) async fn an_image_is_copied_when_the_agent_that_serves_it_goes_away(world: World) {
    let image = world.image("here").await;
    let (far, agent) = far(&world).await;
    let (second, between) = second_hypervisor(&world).await;
    let shared = create(&world, "shared", "objects", StorageRole::Customer).await;
    for (storage, hypervisor) in [(world.images, second), (shared, second), (shared, far)] {
        world.service.storage_bind(&world.admin, storage, hypervisor).await.unwrap();
    }
    let server = ObjectServer {
        address: "hv1.example:8444".to_owned(),
        fingerprint: Fingerprint::new([5; 32]),
        internal: false,
    };
    world.agent.register_serving(server).await;
    let request =
        InstanceCreate { image_id: image, hypervisor_id: Some(far), ..world.deployment("far away") };
    let made = world.service.instance_create(&world.customer, request).await.unwrap();
    assert!(active(&world, TaskKind::ImageMove).await.is_empty(), "it is read where it is");

    world.environment.advance(60);
    for present in [&agent, &between] {
        present.heartbeat(&[]).await.unwrap();
    }
    assert!(agent.claim(8, 0).await.is_empty());
    assert_eq!(active(&world, TaskKind::ImageMove).await.len(), 1);
    between.work_all().await;
    assert_eq!(place(&world, image).await.0, shared);
    world.environment.advance(10);
    let work = agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    assert_eq!((deploy.image.as_ref().unwrap().storage.id, deploy.source.is_some()), (shared, false));
    agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}

/// S10: nothing is shared, and an agent serves what it has.
pub(crate) async fn an_image_is_read_from_an_agent_that_serves_it(world: World) {
    let image = world.image("here").await;
    let (far, agent) = far(&world).await;
    let request =
        |text| InstanceCreate { image_id: image, hypervisor_id: Some(far), ..world.deployment(text) };
    let mut server = ObjectServer {
        address: "hv1.example:8444".to_owned(),
        fingerprint: Fingerprint::new([5; 32]),
        internal: true,
    };
    world.agent.register_serving(server.clone()).await;
    let refused = world.service.instance_create(&world.customer, request("none")).await.unwrap_err();
    assert_eq!(
        refused.code,
        Code::ImageNotReachable,
        "one that only the control plane reaches does not help"
    );
    server.internal = false;
    let key = world.agent.register_serving(server.clone()).await.object_key.unwrap();
    let made = world.service.instance_create(&world.customer, request("far away")).await.unwrap();
    let work = agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    let (storage, object) = place(&world, image).await;
    let source = deploy.source.as_ref().unwrap();
    assert_eq!(source.server, server);
    let grant = key.open(&source.token, work.deadline).unwrap();
    assert_eq!((grant.storage, grant.key.as_str()), (storage, object.as_str()));
    assert_eq!((grant.until, grant.purpose), (work.deadline, work.task_id.to_string()));
    assert_eq!(deploy.image.as_ref().unwrap().storage.id, storage, "the image stays where it is");
    agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);

    // An agent that is away at the moment is waited for.
    let made = world.service.instance_create(&world.customer, request("later")).await.unwrap();
    world.environment.advance(60);
    agent.heartbeat(&[]).await.unwrap();
    assert!(agent.claim(8, 0).await.is_empty());
    assert_eq!(world.task(made.task.id).await.state, TaskState::Queued);
    world.agent.heartbeat(&[]).await.unwrap();
    world.environment.advance(10);
    let work = agent.claim_one().await;
    assert!(matches!(&work.kind, AssignmentKind::Deploy(deploy) if deploy.source.is_some()), "{work:?}");
    agent.finish(&work, success(&work.kind)).await.unwrap();

    // Drained to where no hypervisor reaches both, and the old file is removed where it is.
    let target = create(&world, "over there", "objects", StorageRole::Customer).await;
    world.service.storage_bind(&world.admin, target, far).await.unwrap();
    world.agent.register_serving(server).await;
    edit(&world, world.images, drained(None)).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().moves, 1);
    let moving = agent.claim_one().await;
    let AssignmentKind::MoveImage(order) = &moving.kind else { panic!("{moving:?}") };
    assert_eq!((order.to.id, order.source.is_some()), (target, true));
    agent.finish(&moving, success(&moving.kind)).await.unwrap();
    assert_eq!(place(&world, image).await.0, target);
    let removal = world.agent.claim_one().await;
    assert!(
        matches!(&removal.kind, AssignmentKind::DeleteImage(delete) if delete.image.storage.id == storage)
    );
}
