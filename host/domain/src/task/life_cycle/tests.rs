use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::{
    id::{AccountId, HypervisorId, InstanceId, RequestId, TaskId},
    task_error::TaskErrorCode,
};

fn at(seconds: i64) -> Timestamp {
    DateTime::<Utc>::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn agent(number: u128) -> AgentId {
    AgentId::new(Uuid::from_u128(number))
}

fn error() -> TaskError {
    TaskError::new(TaskErrorCode::AgentLost, "it stopped")
}

fn queued() -> Task {
    queued_of(TaskKind::InstanceStart)
}

fn queued_of(kind: TaskKind) -> Task {
    let new = NewTask {
        id: TaskId::new(Uuid::from_u128(1)),
        account_id: AccountId::new(Uuid::from_u128(2)),
        kind,
        image_id: None,
        instance_id: Some(InstanceId::new(Uuid::from_u128(3))),
        hypervisor_id: HypervisorId::new(Uuid::from_u128(4)),
        request_id: RequestId::new(Uuid::from_u128(5)),
    };
    Task::new(new, at(0))
}

fn running() -> Task {
    let mut task = queued();
    task.claim(agent(6), at(0)).unwrap();
    task
}

fn in_state(state: TaskState) -> Task {
    let mut task = running();
    match state {
        TaskState::Queued => return queued(),
        TaskState::Running => {}
        TaskState::Succeeded => task.succeed(at(1)).unwrap(),
        TaskState::Failed => task.fail(error(), at(1)).unwrap(),
        TaskState::Cancelled => task.cancel(at(1)).unwrap(),
    }
    assert_eq!(task.state, state);
    task
}

type Step = (&'static str, fn(&mut Task) -> Result<(), IllegalTransition>);

const STEPS: [Step; 7] = [
    ("claim", |task| task.claim(agent(7), at(2))),
    ("request cancellation", Task::request_cancellation),
    ("succeed", |task| task.succeed(at(2))),
    ("fail", |task| task.fail(error(), at(2))),
    ("cancel", |task| task.cancel(at(2))),
    ("requeue", |task| task.requeue(error(), at(3))),
    ("retry", |task| task.retry(at(2))),
];

#[test]
fn every_step_leads_to_its_state_or_is_refused() {
    use TaskState::{Cancelled, Failed, Queued, Running, Succeeded};
    let allowed = |from, step| match (from, step) {
        (Queued, "claim") | (Running, "request cancellation") => Some(Running),
        (Queued | Running, "succeed") => Some(Succeeded),
        (Queued | Running, "fail") => Some(Failed),
        (Queued | Running, "cancel") => Some(Cancelled),
        (Running, "requeue") | (Failed | Cancelled, "retry") => Some(Queued),
        _ => None,
    };
    for &from in TaskState::ALL {
        for (name, step) in STEPS {
            let before = in_state(from);
            let mut task = before.clone();
            match (step(&mut task), allowed(from, name)) {
                (Ok(()), Some(to)) => assert_eq!(task.state, to, "{name} from {from}"),
                (Err(error), None) => {
                    assert_eq!(error.from, from.as_str());
                    assert_eq!(task, before, "a refused step changes nothing: {name} from {from}");
                }
                (outcome, expected) => panic!("{name} from {from}: {outcome:?} instead of {expected:?}"),
            }
        }
    }
}

/// Any sequence of steps keeps what the database checks.
#[test]
fn no_sequence_of_steps_leaves_a_task_inconsistent() {
    let mut reached = vec![queued()];
    for _ in 0..7 {
        let next = reached.iter().flat_map(|task| {
            STEPS.iter().filter_map(|(_, step)| {
                let mut task = task.clone();
                step(&mut task).ok().map(|()| task)
            })
        });
        reached = next.collect();
        for task in &reached {
            assert_eq!(Task::from_parts((**task).clone()).as_ref(), Ok(task));
            assert_eq!(task.state.is_final(), task.finished_at.is_some());
            assert!(task.lease.is_none_or(|lease| lease.fence == task.fence));
        }
    }
    assert!(reached.len() > 100);
}

#[test]
fn parts_with_a_lease_that_does_not_belong_are_refused() {
    let mut parts = (*running()).clone();
    parts.state = TaskState::Queued;
    assert_eq!(Task::from_parts(parts), Err(InconsistentTask));
    let mut parts = (*queued()).clone();
    parts.state = TaskState::Running;
    assert_eq!(Task::from_parts(parts), Err(InconsistentTask));
}

#[test]
fn each_claim_has_a_new_fencing_token() {
    let mut task = running();
    assert!(task.is_leased_to(agent(6), 1));
    task.requeue(error(), at(5)).unwrap();
    assert!(!task.is_leased_to(agent(6), 1));
    task.claim(agent(6), at(5)).unwrap();
    assert!(task.is_leased_to(agent(6), 2) && !task.is_leased_to(agent(6), 1));
    assert!(!task.is_leased_to(agent(8), 2));
    assert_eq!((task.attempts, task.started_at), (2, Some(at(0))));
}

#[test]
fn retryable_failures_pause_longer_each_time_and_end_with_the_attempts() {
    let mut task = running();
    task.attempt_failed(error(), RetryPolicy::AfterPause, at(10)).unwrap();
    assert_eq!((task.state, task.run_after), (TaskState::Queued, at(15)));
    task.claim(agent(6), at(15)).unwrap();
    task.attempt_failed(error(), RetryPolicy::AfterPause, at(20)).unwrap();
    assert_eq!((task.state, task.run_after), (TaskState::Queued, at(40)));
    task.claim(agent(6), at(40)).unwrap();
    task.attempt_failed(error(), RetryPolicy::Immediately, at(41)).unwrap();
    assert_eq!((task.state, task.finished_at), (TaskState::Failed, Some(at(41))));
    task.retry(at(50)).unwrap();
    assert_eq!((task.attempts, task.attempts_allowed), (3, 6));
}

#[test]
fn a_failure_after_a_requested_cancellation_is_a_cancellation() {
    let mut task = running();
    task.request_cancellation().unwrap();
    task.attempt_failed(error(), RetryPolicy::Immediately, at(1)).unwrap();
    assert_eq!((task.state, task.error.as_ref()), (TaskState::Cancelled, Some(&error())));
}

#[test]
fn no_attempt_is_queued_beyond_the_deadline() {
    let mut task = running();
    let late = task.deadline - TimeDelta::seconds(1);
    task.attempt_failed(error(), RetryPolicy::AfterPause, late).unwrap();
    assert_eq!(task.state, TaskState::Failed);
}

#[test]
fn progress_never_decreases() {
    let mut task = running();
    let report = |phase, bytes_done, bytes_total| Progress { phase, bytes_done, bytes_total };
    task.report_progress(report(Phase::Copying, 50, Some(100)), at(1));
    task.report_progress(report(Phase::Preparing, 20, Some(60)), at(2));
    assert_eq!(task.progress, report(Phase::Copying, 50, Some(100)));
    task.report_progress(report(Phase::Done, 500, None), at(3));
    assert_eq!(task.progress, report(Phase::Copying, 100, Some(100)));
    assert_eq!(task.throughput.bytes_per_second, Some(12));
}

/// S29: a capture's time starts with its work, goes on after failed attempts, and starts again with
/// a retry by request.
#[test]
fn the_time_of_a_capture_starts_with_its_work() {
    let mut task = queued_of(TaskKind::ImageCapture);
    let limit = TimeDelta::hours(24);
    let day = 24 * 3600;
    task.start_clock(limit, at(3 * day));
    assert_eq!(task.deadline, at(4 * day), "it waited for three days");
    task.claim(agent(6), at(3 * day)).unwrap();
    task.attempt_failed(error(), RetryPolicy::AfterPause, at(3 * day + 60)).unwrap();
    task.start_clock(limit, at(3 * day + 100));
    task.claim(agent(6), at(3 * day + 100)).unwrap();
    assert_eq!(task.deadline, at(4 * day), "the next attempt has what is left");
    task.fail(error(), at(4 * day)).unwrap();
    task.retry(at(9 * day)).unwrap();
    assert!(task.deadline > at(30 * day), "it may wait");
    task.start_clock(limit, at(10 * day));
    assert_eq!(task.deadline, at(11 * day));
}

#[test]
fn every_kind_of_task_ends_by_itself() {
    for kind in TaskKind::ALL {
        let spec = kind.spec();
        assert!(spec.deadline_s > LEASE_S, "{kind}");
        assert_ne!(spec.cancellable, spec.repeat_until_done, "{kind}");
    }
}
