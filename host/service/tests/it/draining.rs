//! Draining: the images of a storage move to another one while they stay in use.

use imprint_agent_protocol::{AssignmentKind, Outcome};
use imprint_domain::{
    Code,
    id::{ImageId, StorageId},
    image::ImageStatus,
    storage::{StorageRole, StorageState},
    task::{TaskKind, TaskState},
};
use imprint_service::{InstanceCreate, StoragePatch, TaskList, TaskView};

use crate::{
    storages::{create, edit, shown},
    support::{World, failure, size, success},
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
    assert_eq!(deploy.image.storage.id, target);
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
