//! The stream of events.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use imprint_agent_protocol::StorageReport;
use imprint_domain::{
    image::{ImageEdit, ImageStatus},
    storage::{HealthClass, StorageRole, Weight},
    task::TaskState,
};
use imprint_service::{
    EventFilter, EventFollower, EventStart, EventTopic, EventView, Op, StoragePatch, Subject,
};
use imprint_store::Store;

use crate::{
    storages::{create, edit, report},
    support::{Agent, World, name, open, success},
};

pub(crate) async fn next(follower: &mut EventFollower) -> EventView {
    tokio::time::timeout(Duration::from_secs(10), follower.next()).await.expect("in time").unwrap()
}

pub(crate) async fn follow(world: &World, op: &Op, after: Option<u64>) -> EventFollower {
    world.service.event_follow(op, EventFilter::default(), after).await.unwrap()
}

pub(crate) async fn events_have_no_gaps_under_concurrency(world: World) {
    let image = world.image("golden").await;
    let world = Arc::new(world);
    let mut follower = follow(&world, &world.customer, None).await;
    let EventStart::Snapshot { sequence } = follower.start() else { panic!("not a snapshot") };
    let mut changes = Vec::new();
    for index in 0..40 {
        let world = Arc::clone(&world);
        changes.push(tokio::spawn(async move {
            let name = Some(name(&format!("name {index}")));
            let patch = ImageEdit { name, ..ImageEdit::default() };
            world.service.image_update(&world.customer, image, patch, None).await.unwrap();
            let made =
                world.service.image_capture(&world.customer, world.capture_request("more")).await.unwrap();
            world.service.task_cancel(&world.customer, made.task.id).await.unwrap();
        }));
    }
    for change in changes {
        change.await.unwrap();
    }
    // At least: update 1, capture 2, cancel 2; and those that wait behind a cancelled one have
    // events that they moved up.
    let EventStart::Snapshot { sequence: last } = follow(&world, &world.customer, None).await.start() else {
        panic!("not a snapshot")
    };
    assert!(last >= sequence + 200, "{sequence} {last}");
    for expected in sequence + 1..=last {
        assert_eq!(next(&mut follower).await.sequence, expected);
    }
    let store = Store::open(&world.target).await.unwrap();
    let account = world.customer.account_id();
    let all = imprint_store::event::after(&store.read(), account, 0, 10_000).await.unwrap();
    let numbers: Vec<_> = all.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
}

pub(crate) async fn a_follower_resumes_or_learns_that_it_cannot(world: World) {
    let filter = EventFilter { topics: vec![EventTopic::Image], task_id: None };
    let mut images = world.service.event_follow(&world.customer, filter, None).await.unwrap();
    let mut all = follow(&world, &world.customer, None).await;
    let made = world.capture("golden").await;
    let first = next(&mut all).await;
    let Subject::Image(image) = &first.subject else { panic!("the image comes first") };
    assert_eq!((image.id, image.status), (made.image.id, ImageStatus::Creating));
    let second = next(&mut all).await;
    assert!(matches!(&second.subject, Subject::Task(task) if task.id == made.task.id));
    assert_eq!(next(&mut images).await, first);
    let mut resumed = follow(&world, &world.customer, Some(first.sequence)).await;
    assert_eq!(resumed.start(), EventStart::Resumed { sequence: first.sequence });
    assert_eq!(next(&mut resumed).await.sequence, second.sequence);
    // What one task does, followed by its id, also by an admin.
    let filter = EventFilter { topics: Vec::new(), task_id: Some(made.task.id) };
    let mut of_task = world.service.event_follow(&world.admin, filter, None).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let Subject::Task(task) = next(&mut of_task).await.subject else { panic!("not the task") };
    assert_eq!(task.id, made.task.id);
    assert_eq!(next(&mut images).await.subject_status(), Some(ImageStatus::Available));
    // A number of another stream, and one whose successors were removed.
    let ahead = follow(&world, &world.customer, Some(1_000_000)).await;
    assert!(matches!(ahead.start(), EventStart::Reset { .. }));
    world.environment.advance(24 * 3600 + 1);
    assert!(world.service.reconcile_once().await.unwrap().rows > 0);
    let late = follow(&world, &world.customer, Some(first.sequence)).await;
    assert!(matches!(late.start(), EventStart::Reset { .. }));
    let EventStart::Reset { sequence } = late.start() else { panic!("not a reset") };
    let current = follow(&world, &world.customer, Some(sequence)).await;
    assert_eq!(current.start(), EventStart::Resumed { sequence });
}

/// Every change of a storage is an event of each admin, and of no other account.
pub(crate) async fn admins_follow_image_storages(world: World) {
    world.agent.report(&[], vec![report(world.images, Some(50 << 30))]).await.unwrap();
    let filter = EventFilter { topics: vec![EventTopic::Storage], task_id: None };
    let mut follower = world.service.event_follow(&world.admin, filter.clone(), None).await.unwrap();
    let mut customers = world.service.event_follow(&world.customer, filter, None).await.unwrap();

    let id = create(&world, "second", "local", StorageRole::Customer).await;
    assert!(matches!(next(&mut follower).await.subject, Subject::Storage(view) if view.id == id));
    let hypervisor = world.agent.hypervisor;
    world.service.storage_bind(&world.admin, id, hypervisor).await.unwrap();
    let Subject::Storage(bound) = next(&mut follower).await.subject else { panic!("not the storage") };
    assert_eq!(bound.bindings.len(), 1);
    // A second time changes nothing, so there is no event; the next one is that of the patch.
    world.service.storage_bind(&world.admin, id, hypervisor).await.unwrap();
    let weight = Some(Weight::new(7).unwrap());
    edit(&world, id, StoragePatch { weight, ..StoragePatch::default() }).await;
    let Subject::Storage(edited) = next(&mut follower).await.subject else { panic!("not the storage") };
    assert_eq!(edited.weight, 7);

    // The names of secrets and the version are shown, so that both are a change.
    world.service.storage_secrets_update(&world.admin, id, BTreeMap::new()).await.unwrap();
    let Subject::Storage(secrets) = next(&mut follower).await.subject else { panic!("not the storage") };
    assert_eq!((secrets.id, secrets.version), (id, edited.version + 1));

    // Health is an event when it changes, not at every report.
    for available in [40 << 30, 30 << 30] {
        world.agent.report(&[], vec![report(world.images, Some(available))]).await.unwrap();
    }
    let broken = StorageReport { problem: Some("stale handle".into()), ..report(world.images, None) };
    world.agent.report(&[], vec![broken]).await.unwrap();
    let Subject::Storage(ill) = next(&mut follower).await.subject else { panic!("not the storage") };
    assert_eq!((ill.id, ill.health), (world.images, HealthClass::Unreachable));

    world.service.storage_unbind(&world.admin, id, hypervisor, false).await.unwrap();
    let Subject::Storage(unbound) = next(&mut follower).await.subject else { panic!("not the storage") };
    assert_eq!((unbound.id, unbound.bindings.len()), (id, 0));
    world.service.storage_delete(&world.admin, id, None).await.unwrap();
    assert!(matches!(next(&mut follower).await.subject, Subject::StorageRemoved(gone) if gone == id));

    let for_customer = tokio::time::timeout(Duration::from_millis(200), customers.next()).await;
    assert!(for_customer.is_err(), "{for_customer:?}");
}

trait SubjectStatus {
    fn subject_status(&self) -> Option<ImageStatus>;
}

impl SubjectStatus for EventView {
    fn subject_status(&self) -> Option<ImageStatus> {
        match &self.subject {
            Subject::Image(image) => Some(image.status),
            Subject::ImageRemoved(_)
            | Subject::Instance(_)
            | Subject::InstanceRemoved(_)
            | Subject::MediaGroup(_)
            | Subject::MediaGroupRemoved(_)
            | Subject::Share(_)
            | Subject::ShareRemoved(_)
            | Subject::Task(_)
            | Subject::Iso(_)
            | Subject::IsoRemoved(_)
            | Subject::Export(_)
            | Subject::ExportRemoved(_)
            | Subject::Storage(_)
            | Subject::StorageRemoved(_)
            | Subject::Billing
            | Subject::TaskRemoved(_) => None,
        }
    }
}

pub(crate) async fn a_wait_ends_with_the_change(world: World) {
    let made = world.capture("golden").await;
    let world = Arc::new(world);
    let still = world.service.task_wait(&world.customer, made.task.id, Duration::from_millis(20)).await;
    assert_eq!(still.unwrap().state, TaskState::Queued);
    let waiting = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            world.service.task_wait(&world.customer, made.task.id, Duration::from_secs(60)).await.unwrap()
        })
    };
    // The waiter may come first or second: either way it sees the task move.
    let work = world.agent.claim_one().await;
    let seen = tokio::time::timeout(Duration::from_secs(10), async {
        world.agent.finish(&work, success(&work.kind)).await.unwrap();
        waiting.await.unwrap()
    });
    assert_ne!(seen.await.expect("in time").state, TaskState::Queued);
    let done = world.service.task_wait(&world.customer, made.task.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!(done.state, TaskState::Succeeded);
}

pub(crate) async fn another_control_plane_follows_it(world: World) {
    let second = open(&world.target, &world.environment).await;
    let mut follower = second.event_follow(&world.customer, EventFilter::default(), None).await.unwrap();
    let made = world.capture("golden").await;
    assert!(matches!(next(&mut follower).await.subject, Subject::Image(image) if image.id == made.image.id));
    assert!(matches!(next(&mut follower).await.subject, Subject::Task(task) if task.id == made.task.id));
    // A session and a task's lease hold there too.
    let control = second.control_plane(imprint_agent_protocol::Peer { hypervisor_id: world.hypervisor });
    let agent = Agent { control, ..world.agent };
    let work = agent.claim_one().await;
    let again = second.reconcile_once().await.unwrap();
    assert_eq!(again.leases, 0);
    agent.finish(&work, success(&work.kind)).await.unwrap();
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!(image.status, ImageStatus::Available);
}

pub(crate) async fn waiting_tasks_have_events_when_the_queue_is_reordered(world: World) {
    let first = world.capture("first").await;
    let second = world.capture("second").await;
    let filter = EventFilter { topics: Vec::new(), task_id: Some(second.task.id) };
    let mut follower = world.service.event_follow(&world.customer, filter, None).await.unwrap();
    let work = world.agent.claim_one().await;
    assert_eq!(work.task_id, first.task.id);
    let Subject::Task(task) = next(&mut follower).await.subject else { panic!("not a task") };
    assert_eq!((task.id, task.queue_position), (second.task.id, Some(1)));
    assert_eq!(task.waiting_for.as_deref(), Some("another task of this instance"));
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let Subject::Task(task) = next(&mut follower).await.subject else { panic!("not a task") };
    assert_eq!(task.waiting_for.as_deref(), Some("the agent to take it"));
}
