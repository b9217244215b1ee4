//! Merging the layers of disks: authorisation, results and assignments.

use imprint_agent_protocol::{AssignmentKind, CaptureAssignment, Outcome};
use imprint_domain::{
    Code,
    coalesce::{CoalesceTimeout, timed_out},
    location::{FreezeLimit, ReclaimLimit},
    task::{Phase, TaskKind, TaskState},
};
use imprint_service::{Busy, InstanceTask, LocationPatch};
use imprint_store::{Store, audit};

use crate::support::{World, failure, lease, success};

async fn stop(world: &World) {
    world.service.instance_stop(&world.customer, world.instance, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
}

async fn begin(world: &World) -> InstanceTask {
    world.service.instance_coalesce(&world.admin, world.instance).await.unwrap()
}

pub(crate) async fn only_a_stopped_and_idle_instance_is_merged(world: World) {
    let running = world.service.instance_coalesce(&world.admin, world.instance).await.unwrap_err();
    assert_eq!(running.code, Code::InvalidTransition);
    assert!(running.detail.contains("stop the instance first"), "{running}");
    stop(&world).await;
    let made = begin(&world).await;
    assert_eq!(made.task.kind, TaskKind::InstanceCoalesce);
    assert_eq!(made.task.account_id, world.customer.account_id(), "the task is the owner's");
    let busy = world.service.instance_coalesce(&world.admin, world.instance).await.unwrap_err();
    assert_eq!(busy.code, Code::InstanceBusy);
    let work = world.agent.claim_one().await;
    let AssignmentKind::Coalesce(order) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!((order.instance.id, order.timeout_s), (world.instance, 7200));
    world.agent.progress(&work, Phase::Coalesce, 300).await.unwrap();
    let shown = world.task(made.task.id).await;
    assert_eq!((shown.phase, shown.checkpoint, shown.percent), (Phase::Coalesce, 25, Some(30)));
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let shown = world.task(made.task.id).await;
    assert_eq!((shown.state, shown.checkpoint), (TaskState::Succeeded, 100));
    let store = Store::open(&world.target).await.unwrap();
    let rows = audit::of_resource(&store.read(), &world.instance.to_string(), 10).await.unwrap();
    assert!(rows.iter().any(|row| row.action == "instance.coalesce"), "{rows:?}");
}

pub(crate) async fn a_merge_that_takes_too_long_is_not_repeated_and_says_what_helps(world: World) {
    stop(&world).await;
    let mut actions = Vec::new();
    for _ in 0..2 {
        let made = begin(&world).await;
        let work = world.agent.claim_one().await;
        let late = Outcome::Failed(timed_out(std::time::Duration::from_secs(7200)));
        world.agent.finish(&work, late).await.unwrap();
        let shown = world.task(made.task.id).await;
        let error = shown.error.unwrap();
        assert_eq!((shown.state, shown.attempt), (TaskState::Failed, 1), "not tried again by itself");
        assert_eq!((error.code.as_str(), error.retryable), ("coalesce_timeout", true));
        assert!(error.action.contains("send the request again"), "{error:?}");
        actions.push(error.action);
    }
    let advice = "limit file-system activity while imaging";
    assert!(!actions[0].contains(advice) && actions[1].contains(advice), "{actions:?}");
    // A capture that met the same limit: its image is in error, and it can be retried by request.
    let made = world.capture("late").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, Outcome::Failed(timed_out(std::time::Duration::from_secs(1)))).await.unwrap();
    let error = world.task(made.task.id).await.error.unwrap();
    assert!(error.action.contains(advice), "{error:?}");
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    world.agent.work_all().await;
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}

/// What the agent gets for a capture; the capture itself fails.
async fn assigned_capture(world: &World) -> CaptureAssignment {
    let made = world.capture("assigned").await;
    let assignment = world.agent.claim_one().await;
    let AssignmentKind::Capture(capture) = assignment.kind.clone() else { panic!("{:?}", assignment.kind) };
    world.agent.finish(&assignment, failure(false)).await.unwrap();
    world.service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    world.agent.work_all().await;
    capture
}

pub(crate) async fn the_location_limits_the_freeze(world: World) {
    assert_eq!(assigned_capture(&world).await.freeze_limit_ms, 2000);
    let patch =
        LocationPatch { freeze_limit: Some(FreezeLimit::new(500).unwrap()), ..LocationPatch::default() };
    let changed = world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!(changed.freeze_limit_ms, 500);
    assert_eq!(assigned_capture(&world).await.freeze_limit_ms, 500);
}

pub(crate) async fn the_location_limits_the_wait_for_space(world: World) {
    assert_eq!(assigned_capture(&world).await.reclaim_limit_s, 60);
    let patch =
        LocationPatch { reclaim_limit: Some(ReclaimLimit::new(0).unwrap()), ..LocationPatch::default() };
    let changed = world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!(changed.reclaim_limit_s, 0);
    assert_eq!(assigned_capture(&world).await.reclaim_limit_s, 0);
}

pub(crate) async fn the_location_decides_whether_and_for_how_long(world: World) {
    stop(&world).await;
    let assigned = async || assigned_capture(&world).await.coalesce_timeout_s;
    assert_eq!(assigned().await, Some(7200));
    let patch = LocationPatch {
        coalesce_timeout: Some(CoalesceTimeout::new(60).unwrap()),
        ..LocationPatch::default()
    };
    let changed = world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!((changed.coalesce_before_capture, changed.coalesce_timeout_s), (true, 60));
    assert_eq!(assigned().await, Some(60));
    let patch = LocationPatch { coalesce_before_capture: Some(false), ..LocationPatch::default() };
    world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!(assigned().await, None);
    let made = begin(&world).await;
    let work = world.agent.claim_one().await;
    let AssignmentKind::Coalesce(order) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!(order.timeout_s, 60, "the time limit holds outside of captures, too");
    // Cancelled, and retried by request.
    world.service.task_cancel(&world.admin, made.task.id).await.unwrap();
    world.agent.heartbeat(&[lease(&work)]).await.unwrap();
    world.agent.finish(&work, Outcome::Cancelled).await.unwrap();
    assert_eq!(world.task(made.task.id).await.state, TaskState::Cancelled);
    world.service.task_retry(&world.admin, made.task.id).await.unwrap();
    world.agent.work_all().await;
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}
