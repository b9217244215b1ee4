//! Takes work, does it, and knows how it ended.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use imprint_agent_protocol::{
    Assignment, ClaimRequest, Finish, HeldLease, MAX_CLAIM_WAIT_MS, Outcome, ProgressReport, ProtocolError,
    Work,
};
use imprint_domain::task_error::TaskErrorCode;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    agent::{Pause, Running, Shared, lock_of},
    capture, coalesce,
    control::{Control, State},
    deploy,
    error::{Halt, StopReason},
    image,
    job::{Fate, Job, instance_of, settle_patiently},
    journal::{FileJournal, Header},
    machine::blocking,
    power, step,
};

/// Between two progress reports of one piece of work: at most two a second.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// How long a claim waits while other work is in hand, in milliseconds.
const BUSY_WAIT_MS: u32 = 1000;

/// Reports that are left out, one after another, because nothing has changed.
const MAX_UNCHANGED: u32 = 3;

/// Claims while there is room, until `stop`.
pub(crate) async fn keep_claiming(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = Pause::new();
    while !stop.is_cancelled() {
        let Some(request) = room(&shared) else {
            stop.run_until_cancelled(shared.room.notified()).await;
            continue;
        };
        let Some(answer) = stop.run_until_cancelled(shared.control_plane.claim(request)).await else {
            return;
        };
        match answer {
            Ok(claimed) => {
                pause = Pause::new();
                for assignment in claimed.assignments {
                    take(&shared, assignment);
                }
            }
            Err(problem) => {
                if problem == ProtocolError::NotRegistered {
                    shared.unknown.notify_one();
                }
                warn!(error = %problem, "cannot ask for work");
                stop.run_until_cancelled(pause.wait()).await;
            }
        }
    }
}

/// What there is room for; `None` while there is none.
fn room(shared: &Shared) -> Option<ClaimRequest> {
    let registration = shared.registration();
    let running = lock_of(&shared.running);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let max = registration.max_work.saturating_sub(count(running.len()));
    let captures = count(running.values().filter(|work| work.capture).count());
    let max_captures = registration.max_captures.saturating_sub(captures).min(max);
    // While something runs its end may make room for other kinds of work than this call asks for.
    let wait_ms = if running.is_empty() { MAX_CLAIM_WAIT_MS } else { BUSY_WAIT_MS };
    (max > 0).then_some(ClaimRequest { agent_id: shared.id, max, max_captures, wait_ms })
}

/// Begins a piece of work.
fn take(shared: &Arc<Shared>, assignment: Assignment) {
    let task = assignment.task_id;
    let span = info_span!("work", %task, fence = assignment.fence, attempt = assignment.attempt);
    let control = Arc::new(Control::new());
    let running = Running {
        fence: assignment.fence,
        capture: matches!(assignment.work, Work::Capture(_)),
        journal: FileJournal::path_for(&shared.machine.folders.journal(), task, assignment.fence),
        control: control.clone(),
    };
    // The control plane gives a task out again only after its lease was lost: the old attempt is
    // told, and the new one waits its turn at the instance.
    if let Some(old) = lock_of(&shared.running).insert(task, running) {
        old.control.stop(StopReason::LeaseLost);
    }
    let of = shared.clone();
    shared.works.spawn(
        async move {
            let lease = HeldLease { task_id: task, fence: assignment.fence };
            if let Err(panic) = AssertUnwindSafe(attend(&of, assignment, control)).catch_unwind().await {
                error!(
                    panic = words(panic.as_ref()),
                    "the agent's own attendance of a piece of work panicked"
                );
            }
            let mut running = lock_of(&of.running);
            if running.get(&task).is_some_and(|work| work.fence == lease.fence) {
                running.remove(&task);
            }
            drop(running);
            of.room.notify_one();
        }
        .instrument(span),
    );
}

/// One piece of work, with its reporter and its timer.
async fn attend(shared: &Shared, assignment: Assignment, control: Arc<Control>) {
    let lease = HeldLease { task_id: assignment.task_id, fence: assignment.fence };
    let deadline = (assignment.deadline - shared.environment.now()).to_std().unwrap_or_default();
    let timing = async {
        tokio::time::sleep(deadline).await;
        control.stop(StopReason::Deadline);
        std::future::pending::<Infallible>().await
    };
    let working = async {
        let _only = match instance_of(&assignment.work) {
            Some(instance) => Some(shared.machine.only(instance).await),
            None => None,
        };
        carry_out(shared, assignment, control.clone()).await
    };
    let outcome = tokio::select! {
        outcome = working => outcome,
        never = report(shared, lease, &control) => match never {},
        never = timing => match never {},
    };
    if outcome.is_none() {
        info!("the lease is lost; the work is undone and not reported");
    }
}

/// Does the work, stores its result and puts its tools away. `None`: nobody wants to know.
async fn carry_out(shared: &Shared, assignment: Assignment, control: Arc<Control>) -> Option<()> {
    let lease = HeldLease { task_id: assignment.task_id, fence: assignment.fence };
    let registration = shared.registration();
    let header = Header::new(
        assignment.clone(),
        registration.driver.to_string(),
        registration.driver_settings.clone(),
    );
    let (folder, fault) = (shared.machine.folders.journal(), shared.machine.fault.clone());
    let journal = blocking(move || FileJournal::create(&folder, header, fault)).await;
    let journal = match journal.map(|made| made.map_err(|error| Halt::io("begin the journal", &error))) {
        Ok(Ok(journal)) => Arc::new(journal),
        Ok(Err(halt)) | Err(halt) => {
            let outcome = failed(halt)?;
            store(shared, lease, outcome).await;
            return Some(());
        }
    };
    let job = Job { machine: shared.machine.clone(), journal: journal.clone(), control };
    info!(kind = kind(&assignment.work), "work begins");
    let done = contained(dispatch(&job, &assignment.work)).await;
    match done {
        Ok(outcome) => {
            if let Err(halt) = job.note(step::ENDED, []).await {
                warn!(?halt, "cannot note the end");
            }
            // Short work ends between two reports: its bytes are told all the same.
            let last = shared.control_plane.progress(progress(shared, lease, job.control.state()));
            timeout(REPORT_EVERY, last).await.ok();
            // The result is stored before the tools are put away: from here on nothing is undone
            // any more.
            if store(shared, lease, outcome).await {
                settle_patiently(&shared.machine, &journal, Fate::Kept).await;
            } else {
                settle_patiently(&shared.machine, &journal, Fate::Undone).await;
            }
            Some(())
        }
        Err(halt) => {
            // The guest comes first: it may be frozen.
            settle_patiently(&shared.machine, &journal, Fate::Undone).await;
            let outcome = failed(halt)?;
            store(shared, lease, outcome).await;
            Some(())
        }
    }
}

async fn dispatch(job: &Job, work: &Work) -> Result<Outcome, Halt> {
    job.control.check()?;
    match work {
        Work::Capture(capture) => capture::run(job, capture).await.map(Outcome::Captured),
        Work::Adopt(adopt) => image::adopt(job, adopt).await.map(Outcome::Adopted),
        Work::DeleteImage(delete) => image::delete(job, delete).await.map(|()| Outcome::Done),
        Work::Deploy(deploy) => deploy::run(job, deploy).await.map(Outcome::Deployed),
        Work::Start(power) => power::start(job, power).await.map(|()| Outcome::Done),
        Work::Stop(power) => power::stop(job, power).await.map(|()| Outcome::Done),
        Work::Coalesce(merge) => coalesce::run(job, merge).await.map(|()| Outcome::Done),
        Work::DeleteInstance(power) => power::delete(job, power).await.map(|()| Outcome::Done),
    }
}

/// A panic of one piece of work is its failure, and nobody else's.
async fn contained<T>(work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        error!(panic = words(panic.as_ref()), "a piece of work panicked");
        Err(Halt::failed(
            TaskErrorCode::Internal,
            "the agent failed in an unexpected way; its log has the cause",
        ))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// What is reported of work that did not succeed; nothing when its lease is lost.
fn failed(halt: Halt) -> Option<Outcome> {
    let halt = match halt {
        Halt::Failed(error) => {
            warn!(code = error.code(), detail = error.operator_detail(), "work failed");
            return Some(Outcome::Failed(error));
        }
        Halt::Stopped(StopReason::LeaseLost) => return None,
        Halt::Stopped(StopReason::Cancelled) => return Some(Outcome::Cancelled),
        Halt::Stopped(StopReason::Deadline) => {
            Halt::failed(TaskErrorCode::DeadlineExceeded, "the agent's timer for the task ran out")
        }
        Halt::Stopped(StopReason::Stopping) => {
            Halt::failed(TaskErrorCode::AgentStopping, "the agent was asked to stop")
        }
    };
    failed(halt)
}

/// Stores a result for the report; false when the disk does not take it.
async fn store(shared: &Shared, lease: HeldLease, outcome: Outcome) -> bool {
    let finish = Finish { agent_id: shared.id, lease, outcome };
    let outbox = shared.outbox.clone();
    match blocking(move || outbox.store(finish)).await {
        Ok(Ok(())) => true,
        // The lease ends by itself, and the task is tried again.
        Ok(Err(problem)) => {
            error!(error = %problem, "cannot store a result");
            false
        }
        Err(halt) => {
            error!(?halt, "cannot store a result");
            false
        }
    }
}

fn progress(shared: &Shared, lease: HeldLease, state: State) -> ProgressReport {
    ProgressReport {
        agent_id: shared.id,
        lease,
        phase: state.phase,
        bytes_done: state.bytes_done,
        bytes_total: state.bytes_total,
    }
}

/// Reports progress when it changes, and now and then when it does not: the answer says whether to
/// stop. Until it is dropped.
async fn report(shared: &Shared, lease: HeldLease, control: &Control) -> Infallible {
    let mut ticks = interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut unchanged) = (None, 0);
    loop {
        ticks.tick().await;
        let state = control.state();
        if last == Some(state) && unchanged < MAX_UNCHANGED {
            unchanged += 1;
            continue;
        }
        unchanged = 0;
        match shared.control_plane.progress(progress(shared, lease, state)).await {
            Ok(answer) => {
                last = Some(state);
                if answer.cancel {
                    control.stop(StopReason::Cancelled);
                }
            }
            Err(ProtocolError::LeaseLost) => control.stop(StopReason::LeaseLost),
            Err(ProtocolError::NotRegistered) => shared.unknown.notify_one(),
            // A later report says the same and more.
            Err(
                ProtocolError::Unavailable { .. }
                | ProtocolError::Unauthenticated
                | ProtocolError::Version { .. }
                | ProtocolError::Refused { .. },
            ) => {}
        }
    }
}

const fn kind(work: &Work) -> &'static str {
    match work {
        Work::Capture(_) => "capture",
        Work::Adopt(_) => "adopt",
        Work::DeleteImage(_) => "delete-image",
        Work::Deploy(_) => "deploy",
        Work::Start(_) => "start",
        Work::Stop(_) => "stop",
        Work::Coalesce(_) => "coalesce",
        Work::DeleteInstance(_) => "delete-instance",
    }
}
