//! Which tasks may run when, and what the others are shown to wait for.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{sync::Arc, time::Duration};

use imprint_agent_protocol::{AssignmentKind, ClaimRequest};
use imprint_domain::{Code, task::TaskState};
use imprint_service::HypervisorPatch;

use crate::support::{World, success};

pub(crate) async fn captures_wait_for_their_turn_and_say_why(mut world: World) {
    let instances = [world.instance, world.deploy("web-2").await, world.deploy("web-3").await];
    let mut made = Vec::new();
    for instance in instances {
        world.instance = instance;
        made.push(world.capture("nightly").await);
    }
    let places: Vec<_> = made.iter().map(|made| made.task.queue_position).collect();
    assert_eq!(places, [Some(1), Some(2), Some(3)]);
    assert_eq!(made[0].task.waiting_for.as_deref(), Some("the agent to take it"));
    let work = world.agent.claim(8, 0).await;
    assert_eq!(work.len(), 2, "the hypervisor's limit of captures (S28)");
    let third = world.task(made[2].task.id).await;
    assert_eq!((third.state, third.queue_position), (TaskState::Queued, Some(1)));
    assert!(third.waiting_for.unwrap().contains("one of the 2 captures"));
    // Other work is not held back by them.
    world.service.instance_create(&world.customer, world.deployment("web-4")).await.unwrap();
    let other = world.agent.claim(8, 0).await;
    assert!(matches!(other.as_slice(), [only] if matches!(only.kind, AssignmentKind::Deploy(_))));
    world.agent.finish(&work[0], success(&work[0].kind)).await.unwrap();
    assert_eq!(world.agent.claim(8, 0).await.len(), 1);
    world.capture("again").await;
    world.environment.advance(60);
    let list = imprint_service::TaskList { state: vec![TaskState::Queued], ..Default::default() };
    let waiting = world.service.task_list(&world.customer, &list).await.unwrap().items.remove(0);
    assert!(waiting.waiting_for.unwrap().contains("agent to come back"));
}

/// S28: an admin changes how many captures run at once, which those that wait notice at once.
pub(crate) async fn the_number_of_captures_at_once_is_changed(mut world: World) {
    let instances = [world.instance, world.deploy("web-2").await, world.deploy("web-3").await];
    let mut made = Vec::new();
    for instance in instances {
        world.instance = instance;
        made.push(world.capture("nightly").await);
    }
    let service = world.service.clone();
    let to = |captures| HypervisorPatch { max_captures: Some(captures), ..HypervisorPatch::default() };
    let changed = service.hypervisor_update(&world.admin, world.hypervisor, to(1), Some(1)).await.unwrap();
    assert_eq!((changed.max_captures, changed.version), (1, 2));
    assert_eq!(world.agent.claim(8, 0).await.len(), 1);
    let second = world.task(made[1].task.id).await;
    assert_eq!(second.queue_position, Some(1));
    assert!(second.waiting_for.unwrap().contains("one of the 1 captures"));

    // An agent that waits for work learns of the change, and so do those who follow the task.
    let world = Arc::new(world);
    let waiting = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let request = ClaimRequest {
                agent_id: world.agent.id,
                max: 8,
                max_captures: 0,
                known_captures: Some(1),
                wait_ms: 10_000,
            };
            world.agent.control.claim(request).await.unwrap()
        })
    };
    service.hypervisor_update(&world.admin, world.hypervisor, to(3), None).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("in time").unwrap();
    assert_eq!((answer.assignments.len(), answer.max_captures), (0, Some(3)));
    assert_eq!(world.task(made[1].task.id).await.waiting_for.as_deref(), Some("the agent to take it"));
    assert_eq!(world.agent.claim(8, 0).await.len(), 2);

    // Only with what was read, only what the hypervisor can do, and only by an admin.
    let update = async |captures, seen| {
        let answer = service.hypervisor_update(&world.admin, world.hypervisor, to(captures), seen).await;
        answer.unwrap_err()
    };
    assert_eq!(update(2, Some(1)).await.code, Code::PreconditionFailed);
    for wrong in [0, 5] {
        let refused = update(wrong, None).await;
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/max_captures")));
    }
    let customer = service.hypervisor_update(&world.customer, world.hypervisor, to(1), None).await;
    assert_eq!(customer.unwrap_err().code, Code::Forbidden);
}

pub(crate) async fn tasks_of_an_instance_keep_their_order(world: World) {
    let first = world.capture("first").await;
    let second = world.capture("second").await;
    let work = world.agent.claim(8, 0).await;
    assert_eq!(work.iter().map(|work| work.task_id).collect::<Vec<_>>(), [first.task.id]);
    let waiting = world.task(second.task.id).await;
    assert_eq!(waiting.waiting_for.as_deref(), Some("another task of this instance"));
    world.agent.finish(&work[0], success(&work[0].kind)).await.unwrap();
    assert_eq!(world.agent.claim_one().await.task_id, second.task.id);
}

pub(crate) async fn a_waiting_claim_wakes_up(world: World) {
    let world = Arc::new(world);
    let waiting = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.agent.claim(1, 10_000).await })
    };
    let made = world.capture("quick").await;
    let work = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("in time").unwrap();
    assert_eq!(work[0].task_id, made.task.id);
    assert!(world.agent.claim(1, 20).await.is_empty(), "it waits no longer than asked");
}

pub(crate) async fn an_agent_takes_no_more_than_it_has_room_for(world: World) {
    for index in 0..6 {
        let request = world.deployment(&format!("web-{index}"));
        world.service.instance_create(&world.customer, request).await.unwrap();
    }
    world.capture("nightly").await;
    assert_eq!(world.agent.claim(3, 0).await.len(), 3);
    assert_eq!(world.agent.claim(8, 0).await.len(), 1, "four at once on this hypervisor");
    let list = imprint_service::TaskList { state: vec![TaskState::Queued], ..Default::default() };
    let waiting = world.service.task_list(&world.customer, &list).await.unwrap().items;
    assert_eq!(waiting.len(), 3);
    assert!(waiting[0].waiting_for.as_deref().unwrap().contains("one of the 4 tasks"));
    // No room for captures: it gets none.
    let agent = world.agent.restarted().await;
    let request =
        ClaimRequest { agent_id: agent.id, max: 8, max_captures: 0, known_captures: None, wait_ms: 0 };
    let work = agent.control.claim(request).await.unwrap().assignments;
    assert!(work.iter().all(|work| matches!(work.kind, AssignmentKind::Deploy(_))));
}

pub(crate) async fn a_task_is_claimed_once(mut world: World) {
    let instances = [world.instance, world.deploy("web-2").await];
    for instance in instances {
        world.instance = instance;
        world.capture("nightly").await;
    }
    let world = Arc::new(world);
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.agent.claim(1, 0).await })
        })
        .collect();
    let mut ids = Vec::new();
    for claim in claims {
        ids.extend(claim.await.unwrap().into_iter().map(|work| (work.task_id, work.fence)));
    }
    ids.sort();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids[0].0 != ids[1].0 && ids.iter().all(|(_, fence)| *fence == 1));
}
