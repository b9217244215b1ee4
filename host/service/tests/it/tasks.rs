//! The life of a task: each step twice, lost answers, expired leases, and an agent killed at every
//! point.

use std::sync::Arc;

use imprint_agent_protocol::{AssignmentKind, HeldLease, Outcome, ProtocolError};
use imprint_domain::{
    Code,
    consistency::Consistency,
    event::EventKind,
    image::ImageStatus,
    instance::{InstanceStatus, Power},
    task::{MAX_ATTEMPTS, Phase, TaskState},
    task_error::{TaskError, TaskErrorCode},
};
use imprint_service::{Busy, ConsistencyRequirement, EventFilter, EventTopic, ImageTask, Subject, TaskList};

use crate::support::{Agent, World, digest, failure, lease, open, stored, success};

async fn status(world: &World, made: &ImageTask) -> (ImageStatus, TaskState) {
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    (image.status, world.task(made.task.id).await.state)
}

pub(crate) async fn a_capture_goes_all_the_way(world: World) {
    let made = world.capture("golden").await;
    assert_eq!(made.image.status, ImageStatus::Creating);
    assert_eq!((made.task.state, made.task.checkpoint), (TaskState::Queued, 25), "S36");
    let work = world.agent.claim_one().await;
    let AssignmentKind::Capture(capture) = &work.kind else { panic!("not a capture") };
    assert_eq!(capture.instance.id, world.instance);
    assert_eq!(capture.image.id, made.image.id);
    assert_eq!(capture.image.storage.settings["path"], "/srv/images");
    assert_eq!(world.task(made.task.id).await.checkpoint, 25);
    world.agent.progress(&work, Phase::Copying, 0).await.unwrap();
    world.environment.advance(2);
    world.agent.progress(&work, Phase::Copying, 400).await.unwrap();
    let task = world.task(made.task.id).await;
    assert_eq!(
        (task.checkpoint, task.percent, task.rate_bps, task.eta_s),
        (50, Some(40), Some(200), Some(3))
    );
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let task = world.task(made.task.id).await;
    assert_eq!((task.state, task.checkpoint, task.percent), (TaskState::Succeeded, 100, Some(100)));
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!(image.status, ImageStatus::Available);
    assert_eq!(image.size_bytes, Some(stored().size));
    assert_eq!(image.consistency, Some(Consistency::Filesystem));
    assert_eq!(image.available_at, Some(task.finished_at.unwrap()));
    assert_eq!(image.source_instance.unwrap().name, "web-1");
    let instance = world.service.instance_show(&world.customer, world.instance).await.unwrap();
    assert_eq!((instance.status, instance.power), (InstanceStatus::Ready, Power::Running));
}

pub(crate) async fn a_lost_answer_changes_nothing(world: World) {
    world.agent.register().await.unwrap();
    let made = world.capture("twice").await;
    let work = world.agent.claim_one().await;
    // The same process registers again: it keeps what it works on.
    world.agent.register().await.unwrap();
    for _ in 0..2 {
        world.agent.heartbeat(&[lease(&work)]).await.unwrap();
        world.agent.progress(&work, Phase::Copying, 10).await.unwrap();
    }
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let before = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    let follower =
        world.service.event_follow(&world.customer, imprint_service::EventFilter::default(), None).await;
    let start = follower.unwrap().start();
    for _ in 0..3 {
        world.agent.finish(&work, success(&work.kind)).await.unwrap();
    }
    // Not even another end is taken then.
    world.agent.finish(&work, failure(false)).await.unwrap();
    let after = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!(before, after);
    let follower =
        world.service.event_follow(&world.customer, imprint_service::EventFilter::default(), None).await;
    assert_eq!(follower.unwrap().start(), start, "no event");
    // A retryable failure whose answer is lost counts once.
    let made = world.capture("fails").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(true)).await.unwrap();
    world.agent.finish(&work, failure(true)).await.unwrap();
    let task = world.task(made.task.id).await;
    assert_eq!((task.state, task.attempt), (TaskState::Queued, 1));
    // Progress after the end is under a lease that is over.
    assert_eq!(world.agent.progress(&work, Phase::Copying, 1).await.unwrap_err(), ProtocolError::LeaseLost);
}

pub(crate) async fn an_expired_lease_is_taken_back_once(world: World) {
    world.pass(60, &[]).await;
    let made = world.capture("slow").await;
    let work = world.agent.claim_one().await;
    world.pass(60, &[lease(&work)]).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().leases, 0, "heartbeats prolong it");
    world.pass(35, &[]).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().leases, 1);
    assert_eq!(world.service.reconcile_once().await.unwrap().leases, 0, "once");
    let task = world.task(made.task.id).await;
    assert_eq!((task.state, task.attempt), (TaskState::Queued, 1));
    assert_eq!(task.error.unwrap().code, "agent_lost");
    // The old worker learns it, whatever it says.
    assert_eq!(world.agent.heartbeat(&[lease(&work)]).await.unwrap().lost, [made.task.id]);
    assert_eq!(world.agent.progress(&work, Phase::Copying, 1).await.unwrap_err(), ProtocolError::LeaseLost);
    let late = world.agent.finish(&work, success(&work.kind)).await;
    assert_eq!(late.unwrap_err(), ProtocolError::LeaseLost);
    assert_eq!(status(&world, &made).await, (ImageStatus::Creating, TaskState::Queued));
    world.pass(5, &[]).await;
    let again = world.agent.claim_one().await;
    assert_eq!((again.task_id, again.fence, again.attempt), (made.task.id, work.fence + 1, 2));
    let late = world.agent.finish(&work, failure(false)).await;
    assert_eq!(late.unwrap_err(), ProtocolError::LeaseLost, "also when another agent works on it");
    world.agent.finish(&again, success(&again.kind)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded));
}

pub(crate) async fn a_restarted_control_plane_waits_for_its_agents(world: World) {
    let made = world.capture("long").await;
    let work = world.agent.claim_one().await;
    // It was gone for an hour; the agent went on copying.
    world.environment.advance(3600);
    let service = open(&world.target, &world.environment).await;
    assert_eq!(service.reconcile_once().await.unwrap().leases, 0);
    let agent = Agent {
        id: world.agent.id,
        control: service.control_plane(imprint_agent_protocol::Peer { hypervisor_id: world.hypervisor }),
        ..Agent::new(&service, world.hypervisor, &world.environment)
    };
    agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded));
    // One that stays silent is given up after a full term.
    agent.heartbeat(&[]).await.unwrap();
    let made = world.capture("silent").await;
    let _work = agent.claim_one().await;
    world.environment.advance(31);
    assert_eq!(service.reconcile_once().await.unwrap().leases, 1);
    assert_eq!(world.task(made.task.id).await.state, TaskState::Queued);
}

/// Does `steps` of a capture, and is killed then.
async fn killed_after(world: &World, agent: &Agent, steps: usize) {
    if steps == 0 {
        return;
    }
    let work = agent.claim_one().await;
    let phases = [Phase::Preparing, Phase::Snapshotting, Phase::Copying, Phase::Finalizing];
    for (index, phase) in phases.into_iter().enumerate().take(steps - 1) {
        world.environment.advance(1);
        agent.progress(&work, phase, u64::try_from(index).unwrap() * 100).await.unwrap();
    }
    if steps == 6 {
        // Killed after the report was taken, before the answer came.
        agent.finish(&work, success(&work.kind)).await.unwrap();
    }
}

pub(crate) async fn an_agent_killed_at_any_point_leaves_nothing_stuck(world: World) {
    let mut agent = world.agent.restarted().await;
    for steps in 0..=6 {
        let made = world.capture("killed").await;
        killed_after(&world, &agent, steps).await;
        agent = agent.restarted().await;
        let task = world.task(made.task.id).await;
        let expected = if steps == 6 { TaskState::Succeeded } else { TaskState::Queued };
        assert_eq!(task.state, expected, "after {steps} steps");
        agent.work_all().await;
        assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded), "{steps}");
    }
    // Killed each time: it ends as failed, and it can be retried by request.
    let made = world.capture("cursed").await;
    for _ in 0..MAX_ATTEMPTS {
        killed_after(&world, &agent, 3).await;
        agent = agent.restarted().await;
    }
    assert_eq!(status(&world, &made).await, (ImageStatus::Error, TaskState::Failed));
    let error = world.task(made.task.id).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.retryable), ("agent_restarted", true));
    let task = world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    assert_eq!((task.state, task.phase, task.bytes_done), (TaskState::Queued, Phase::Queued, 0));
    assert_eq!(status(&world, &made).await, (ImageStatus::Creating, TaskState::Queued));
    agent.work_all().await;
    assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded));
}

pub(crate) async fn an_agent_that_is_shut_down_costs_no_attempt(world: World) {
    let made = world.capture("patient").await;
    for _ in 0..2 * MAX_ATTEMPTS {
        let work = world.agent.claim_one().await;
        let error = TaskError::new(TaskErrorCode::AgentStopping, "stopped");
        world.agent.finish(&work, Outcome::Failed(error)).await.unwrap();
        assert_eq!(status(&world, &made).await, (ImageStatus::Creating, TaskState::Queued));
    }
    world.agent.work_all().await;
    assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded));
    // A result that was stored by one process and is sent by the next, before that registers.
    let made = world.capture("stored").await;
    let work = world.agent.claim_one().await;
    let next = Agent { id: imprint_domain::id::AgentId::new(uuid::Uuid::from_u128(9)), ..world.agent };
    let finish = imprint_agent_protocol::Finish {
        agent_id: world.agent.id,
        lease: lease(&work),
        outcome: success(&work.kind),
    };
    next.control.finish(finish).await.unwrap();
    next.register().await.unwrap();
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!(image.status, ImageStatus::Available);
}

pub(crate) async fn a_failure_is_repeated_with_pauses(world: World) {
    let made = world.capture("flaky").await;
    for pause in [5, 20] {
        let work = world.agent.claim_one().await;
        world.agent.finish(&work, failure(true)).await.unwrap();
        let task = world.task(made.task.id).await;
        assert_eq!(task.state, TaskState::Queued);
        assert!(task.waiting_for.unwrap().contains("next attempt"), "the pause is shown");
        assert!(world.agent.claim(1, 0).await.is_empty(), "not before the pause is over");
        world.pass(pause, &[]).await;
    }
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(true)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Error, TaskState::Failed));
    // A failure that cannot be helped is final at once.
    let made = world.capture("hopeless").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Error, TaskState::Failed));
    assert_eq!(world.task(made.task.id).await.attempt, 1);
}

/// A cancelled creation leaves no image, and takes nothing of the limits (S126).
async fn is_gone(world: &World, made: &ImageTask) {
    assert_eq!(world.task(made.task.id).await.state, TaskState::Cancelled);
    let gone = world.service.image_show(&world.customer, made.image.id).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
    assert_eq!(world.service.account_current(&world.customer).await.unwrap().images_used, 0);
}

pub(crate) async fn a_cancelled_task_ends(world: World) {
    let made = world.capture("queued").await;
    for _ in 0..2 {
        let task = world.service.task_cancel(&world.customer, made.task.id).await.unwrap();
        assert_eq!(task.state, TaskState::Cancelled);
    }
    is_gone(&world, &made).await;
    assert!(world.agent.claim(8, 0).await.is_empty());
    let made = world.capture("running").await;
    let work = world.agent.claim_one().await;
    assert!(!world.agent.progress(&work, Phase::Copying, 1).await.unwrap().cancel);
    for _ in 0..2 {
        let task = world.service.task_cancel(&world.customer, made.task.id).await.unwrap();
        assert_eq!((task.state, task.cancel_requested), (TaskState::Running, true));
    }
    assert!(world.agent.progress(&work, Phase::Copying, 2).await.unwrap().cancel);
    assert_eq!(world.agent.heartbeat(&[lease(&work)]).await.unwrap().cancelled, [made.task.id]);
    world.agent.finish(&work, Outcome::Cancelled).await.unwrap();
    is_gone(&world, &made).await;
    // Killed while it cancels: cancelled all the same.
    let made = world.capture("killed").await;
    let _work = world.agent.claim_one().await;
    world.service.task_cancel(&world.customer, made.task.id).await.unwrap();
    let agent = world.agent.restarted().await;
    is_gone(&world, &made).await;
    let refused = world.service.task_retry(&world.customer, made.task.id).await.unwrap_err();
    assert!(refused.detail.contains("create a new one"), "{}", refused.detail);
    // One that failed, and is cancelled when it is tried again.
    let made = world.capture("failed").await;
    let work = agent.claim_one().await;
    agent.finish(&work, failure(false)).await.unwrap();
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    world.service.task_cancel(&world.customer, made.task.id).await.unwrap();
    is_gone(&world, &made).await;
    let made = world.capture("succeeds").await;
    agent.work_all().await;
    assert_eq!(status(&world, &made).await, (ImageStatus::Available, TaskState::Succeeded));
    let refused = world.service.task_cancel(&world.customer, made.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidTransition);
    let refused = world.service.task_retry(&world.customer, made.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidTransition);
}

/// An instance can be stopped during a capture, which is cancelled on request.
pub(crate) async fn an_instance_is_stopped_during_a_capture_on_request(world: World) {
    let queued = world.capture("queued").await;
    let service = &world.service;
    let stop = |busy| service.instance_stop(&world.customer, world.instance, busy);
    let busy = stop(Busy::Refuse).await.unwrap_err();
    assert_eq!((busy.code, &busy.context["task_id"]), (Code::InstanceBusy, &queued.task.id.to_string()));
    let stopped = stop(Busy::Cancel).await.unwrap();
    is_gone(&world, &queued).await;
    world.agent.work_all().await;
    assert_eq!(world.task(stopped.task.id).await.state, TaskState::Succeeded);
    service.instance_start(&world.customer, world.instance, Busy::Cancel).await.unwrap();
    world.agent.work_all().await;

    let running = world.capture("running").await;
    let work = world.agent.claim_one().await;
    let stopped = stop(Busy::Cancel).await.unwrap();
    assert!(world.agent.claim(8, 0).await.is_empty(), "it waits until the capture has let go");
    assert!(world.agent.progress(&work, Phase::Copying, 1).await.unwrap().cancel);
    let twice = stop(Busy::Cancel).await.unwrap_err();
    assert_eq!(twice.code, Code::InstanceBusy, "another power task is not cancelled");
    assert_eq!(twice.context["task_id"], stopped.task.id.to_string(), "it is what is in the way");
    world.agent.finish(&work, Outcome::Cancelled).await.unwrap();
    is_gone(&world, &running).await;
    world.agent.work_all().await;
    assert_eq!(world.task(stopped.task.id).await.state, TaskState::Succeeded);

    world.capture("of the stopped one").await;
    service.instance_delete(&world.customer, world.instance, Busy::Cancel).await.unwrap();
    world.agent.work_all().await;
    let gone = service.instance_show(&world.customer, world.instance).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
}

/// S29: the time of a capture starts with its work. At its end the image is in error, its owner is
/// told to contact support, and the operator has an alert.
pub(crate) async fn a_deadline_ends_a_task(world: World) {
    let admin = EventFilter { topics: vec![EventTopic::Task], task_id: None };
    let mut alerts = world.service.event_follow(&world.admin, admin, None).await.unwrap();
    let first = world.capture("running").await;
    let second = world.capture("queued").await;
    world.environment.advance(3 * 24 * 3600);
    world.agent.heartbeat(&[]).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().deadlines, 0, "it may wait");
    let work = world.agent.claim_one().await;
    world.environment.advance(24 * 3600 - 1);
    world.agent.heartbeat(&[lease(&work)]).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().deadlines, 0);
    assert_eq!(world.service.capture_metrics().await.unwrap().over_time_limit, 0);
    world.environment.advance(1);
    assert_eq!(world.service.reconcile_once().await.unwrap().deadlines, 1);
    assert_eq!(world.service.reconcile_once().await.unwrap().deadlines, 0, "once");
    assert_eq!(status(&world, &first).await, (ImageStatus::Error, TaskState::Failed));
    let error = world.task(first.task.id).await.error.unwrap();
    assert_eq!(error.code, "capture_time_limit");
    assert_eq!(error.detail, "Image creation took longer than it may: the limit is 24 hours.");
    assert!(error.action.starts_with("Contact support"), "{error:?}");
    assert_eq!(world.service.capture_metrics().await.unwrap().over_time_limit, 1);
    let alert = loop {
        let event = alerts.next().await.unwrap();
        if event.kind == EventKind::TaskAlert {
            break event;
        }
    };
    assert!(matches!(&alert.subject, Subject::Task(task) if task.id == first.task.id), "{alert:?}");
    let late = world.agent.finish(&work, success(&work.kind)).await;
    assert_eq!(late.unwrap_err(), ProtocolError::LeaseLost);
    // The other one has its own time, and ends when no agent takes it within 30 days.
    let work = world.agent.claim_one().await;
    assert_eq!(work.task_id, second.task.id);
    assert_eq!(work.deadline, world.service.now() + chrono::TimeDelta::hours(24));
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let forgotten = world.capture("forgotten").await;
    world.environment.advance(30 * 24 * 3600);
    assert_eq!(world.service.reconcile_once().await.unwrap().deadlines, 1);
    assert_eq!(world.task(forgotten.task.id).await.error.unwrap().code, "deadline_exceeded");
    assert_eq!(world.service.capture_metrics().await.unwrap().over_time_limit, 1);
}

pub(crate) async fn progress_never_goes_back(world: World) {
    let made = world.capture("steady").await;
    let work = world.agent.claim_one().await;
    let reports =
        [(Phase::Copying, 500), (Phase::Snapshotting, 200), (Phase::Finalizing, 100), (Phase::Done, 5000)];
    let mut last = (0, 0);
    for (phase, done) in reports {
        world.agent.progress(&work, phase, done).await.unwrap();
        let task = world.task(made.task.id).await;
        assert!((task.checkpoint, task.bytes_done) >= last, "{phase:?} {done}");
        last = (task.checkpoint, task.bytes_done);
    }
    let task = world.task(made.task.id).await;
    assert_eq!((task.phase, task.bytes_done, task.checkpoint), (Phase::Finalizing, 1000, 50));
}

pub(crate) async fn a_level_not_reached_is_a_failure(world: World) {
    let mut request = world.capture_request("strict");
    request.consistency =
        Some(ConsistencyRequirement { want: Consistency::Application, minimum: Consistency::Application });
    let made = world.service.image_capture(&world.customer, request).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Error, TaskState::Failed));
    assert_eq!(world.task(made.task.id).await.error.unwrap().code, "consistency_not_reached");
}

pub(crate) async fn customers_read_no_technical_detail_and_admins_do(world: World) {
    let cause = "/srv/images: set `storage.path`; plugin store-x trapped";
    for error in [
        TaskError::new(TaskErrorCode::Internal, cause),
        TaskError::reported("store-x.broken", false, cause),
        TaskError::reported("/srv/images", false, cause),
        TaskError::reported("agent_stopping", false, cause),
    ] {
        let made = world.capture("secret").await;
        let work = world.agent.claim_one().await;
        world.agent.finish(&work, Outcome::Failed(error)).await.unwrap();
        let id = made.task.id;
        let seen = world.service.task_show(&world.customer, id).await.unwrap().error.unwrap();
        assert_eq!((seen.operator_detail, seen.reference), (None, id));
        for text in [&seen.code, &seen.title, &seen.detail, &seen.action] {
            assert!(
                !text.contains('/') && !text.contains("storage.path") && !text.contains("trapped"),
                "{text}"
            );
        }
        let seen = world.service.task_show(&world.admin, id).await.unwrap().error.unwrap();
        assert!(seen.operator_detail.unwrap().contains(cause));
        let listed = world.service.task_list(&world.customer, &TaskList::default()).await.unwrap();
        assert!(!serde_json::to_string(&listed.items).unwrap().contains("trapped"), "{listed:?}");
    }
}

/// X3: twenty ends of the agent, each after something was sent that is not sent again.
pub(crate) async fn an_interruption_that_made_progress_does_not_count_as_an_attempt(world: World) {
    let made = world.capture("large").await;
    let mut agent = world.agent.restarted().await;
    for _ in 0..20 {
        let work = agent.claim_one().await;
        let held = HeldLease { task_id: work.task_id, fence: work.fence };
        let stranger = HeldLease { fence: work.fence + 1, ..held };
        agent = agent.restarted_with(vec![stranger, held]).await;
        assert_eq!(status(&world, &made).await, (ImageStatus::Creating, TaskState::Queued));
    }
    // One that has sent nothing counts.
    while status(&world, &made).await.1 == TaskState::Queued {
        let work = agent.claim_one().await;
        assert!(work.attempt <= 23, "{}", work.attempt);
        agent = agent.restarted().await;
    }
    assert_eq!(status(&world, &made).await, (ImageStatus::Error, TaskState::Failed));
}

pub(crate) async fn a_failed_deletion_is_tried_again(world: World) {
    let id = world.image("old").await;
    let made = world.service.image_delete(&world.customer, id, None).await.unwrap();
    let again = world.service.image_delete(&world.customer, id, None).await.unwrap();
    assert_eq!(again.task.id, made.task.id, "deleting twice is deleting once");
    let refused = world.service.task_cancel(&world.customer, made.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidTransition);
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    assert_eq!(status(&world, &made).await, (ImageStatus::Deleting, TaskState::Failed));
    assert_eq!(world.service.reconcile_once().await.unwrap().deletions, 0);
    world.pass(601, &[]).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().deletions, 1);
    world.agent.work_all().await;
    let gone = world.service.image_show(&world.customer, id).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);
}

pub(crate) async fn a_failed_deployment_can_be_retried(world: World) {
    let made = world.service.instance_create(&world.customer, world.deployment("web-2")).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("not a deployment") };
    assert_eq!(deploy.seed.hostname, "web-2");
    assert_eq!(deploy.logical_digest, Some(digest("1").parse().unwrap()));
    world.agent.finish(&work, failure(false)).await.unwrap();
    let shown = world.service.instance_show(&world.customer, made.instance.id).await.unwrap();
    assert_eq!(shown.status, InstanceStatus::Error);
    assert!(!shown.capture.allowed);
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("not a deployment") };
    assert_eq!(deploy.seed.user_data.as_deref(), Some("#cloud-config\n"), "kept until it succeeds");
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let shown = world.service.instance_show(&world.customer, made.instance.id).await.unwrap();
    assert_eq!((shown.status, shown.power), (InstanceStatus::Ready, Power::Running));
    // Stop, start, delete.
    world.service.instance_stop(&world.customer, made.instance.id, Busy::Refuse).await.unwrap();
    let busy =
        world.service.instance_delete(&world.customer, made.instance.id, Busy::Refuse).await.unwrap_err();
    assert_eq!(busy.code, Code::InstanceBusy);
    world.agent.work_all().await;
    let shown = world.service.instance_show(&world.customer, made.instance.id).await.unwrap();
    assert_eq!(shown.power, Power::Off);
    world.service.instance_start(&world.customer, made.instance.id, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    world.service.instance_delete(&world.customer, made.instance.id, Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    let gone = world.service.instance_show(&world.customer, made.instance.id).await.unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
}

pub(crate) async fn reports_that_make_no_sense_are_refused(world: World) {
    let made = world.capture("odd").await;
    let work = world.agent.claim_one().await;
    let empty = imprint_agent_protocol::CaptureResult {
        image: imprint_domain::image::StoredImage { size: imprint_domain::size::ByteSize::ZERO, ..stored() },
        consistency: Consistency::Crash,
        downgraded_because: None,
        method: "x".into(),
        frozen_ms: 0,
        stopped_ms: 0,
        findings: None,
    };
    for outcome in [Outcome::Done, Outcome::Captured(empty)] {
        let refused = world.agent.finish(&work, outcome).await.unwrap_err();
        assert!(matches!(refused, ProtocolError::Refused { .. }), "{refused}");
    }
    assert_eq!(status(&world, &made).await, (ImageStatus::Creating, TaskState::Running));
    let stranger = Agent::new(&world.service, world.hypervisor, &world.environment);
    assert_eq!(stranger.heartbeat(&[]).await.unwrap_err(), ProtocolError::NotRegistered);
    let lost = stranger.finish(&work, success(&work.kind)).await.unwrap_err();
    assert_eq!(lost, ProtocolError::LeaseLost);
    let mut old = imprint_agent_protocol::Register {
        agent_id: stranger.id,
        protocol: 999,
        version: String::new(),
        plugins: std::collections::BTreeMap::new(),
        storage_kinds: Vec::new(),
        drivers_with_devices: vec!["qemu".to_owned()],
        findings: Vec::new(),
        objects: None,
        advanced: Vec::new(),
    };
    let refused = stranger.control.register(old.clone()).await.unwrap_err();
    assert!(matches!(refused, ProtocolError::Version { agent: 999, .. }));
    // Nothing that an agent says about itself is stored without a bound.
    old.protocol = imprint_agent_protocol::PROTOCOL_VERSION;
    old.version = "ü".repeat(100_000);
    Arc::clone(&stranger.control).register(old).await.unwrap();
    let shown = world.service.admin_hypervisor_show(&world.admin, world.hypervisor).await.unwrap();
    assert!(shown.agent_version.unwrap().len() <= 2048);
}
