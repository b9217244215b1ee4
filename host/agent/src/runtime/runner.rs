//! The runner: claims assignments, executes each as a job, and stores how it ended.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures::FutureExt;
use imprint_agent_protocol::{
    Assignment, AssignmentKind, ClaimRequest, Finish, HeldLease, MAX_CLAIM_WAIT_MS, Outcome, ProtocolError,
};
use imprint_domain::task_error::{TaskError, TaskErrorCode};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    backoff::Backoff,
    error::{JobError, StopReason},
    jobs::{
        capture,
        cleanup::clean_up_with_retries,
        coalesce,
        control::Control,
        deploy, devices, export, image, import, iso,
        job::{Job, instance_of},
        power, reinstall, relocate, scan, storage_test,
        undo::Cleanup,
    },
    journal::{FileJournal, Header, steps},
    runtime::{
        progress,
        state::{AgentState, RunningJob},
    },
    sync::{blocking, lock},
};

/// The time that a claim waits while jobs are running, in milliseconds.
const BUSY_WAIT_MS: u32 = 1000;

/// Claims assignments while there is free capacity, and starts their jobs, until `stop`.
pub(crate) async fn claim_jobs(state: Arc<AgentState>, stop: CancellationToken) {
    let mut backoff = Backoff::new();
    while !stop.is_cancelled() {
        let Some(request) = free_capacity(&state) else {
            stop.run_until_cancelled(state.job_ended.notified()).await;
            continue;
        };
        let Some(answer) = stop.run_until_cancelled(state.control_plane.claim(request)).await else {
            return;
        };
        match answer {
            Ok(claimed) => {
                backoff = Backoff::new();
                if let Some(captures) = claimed.max_captures {
                    state.set_max_captures(captures);
                }
                for assignment in claimed.assignments {
                    start(&state, assignment);
                }
            }
            Err(problem) => {
                if problem == ProtocolError::NotRegistered {
                    state.registration_lost.notify_one();
                }
                warn!(error = %problem, "cannot claim assignments");
                stop.run_until_cancelled(backoff.wait()).await;
            }
        }
    }
}

/// Returns a request for as many jobs as can start now; `None` while none can.
fn free_capacity(state: &AgentState) -> Option<ClaimRequest> {
    let registration = state.registration();
    let running = lock(&state.running);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let max = registration.max_jobs.saturating_sub(count(running.len()));
    let captures = count(running.values().filter(|job| job.is_capture).count());
    let max_captures = registration.max_captures.saturating_sub(captures).min(max);
    // A job that ends meanwhile may free capacity for other kinds than this call asks for.
    let wait_ms = if running.is_empty() { MAX_CLAIM_WAIT_MS } else { BUSY_WAIT_MS };
    let known_captures = Some(registration.max_captures);
    (max > 0).then_some(ClaimRequest { agent_id: state.id, max, max_captures, known_captures, wait_ms })
}

/// Starts the job of an assignment.
fn start(state: &Arc<AgentState>, assignment: Assignment) {
    let task = assignment.task_id;
    let span = info_span!("job", %task, fence = assignment.fence, attempt = assignment.attempt);
    let control = Arc::new(Control::new());
    let running = RunningJob {
        fence: assignment.fence,
        is_capture: matches!(assignment.kind, AssignmentKind::Capture(_)),
        journal: FileJournal::path_for(&state.machine.folders.journal(), task, assignment.fence),
        control: control.clone(),
    };
    // The control plane gives a task out again only after its lease was lost: the job of the old
    // attempt is stopped, and the new one waits until it has released the instance.
    if let Some(old) = lock(&state.running).insert(task, running) {
        old.control.stop(StopReason::LeaseLost);
    }
    let of = state.clone();
    state.jobs.spawn(
        async move {
            let fence = assignment.fence;
            if let Err(panic) = AssertUnwindSafe(supervise(&of, assignment, control)).catch_unwind().await {
                error!(panic = panic_message(panic.as_ref()), "the supervision of a job panicked");
            }
            let mut running = lock(&of.running);
            if running.get(&task).is_some_and(|job| job.fence == fence) {
                running.remove(&task);
            }
            drop(running);
            of.job_ended.notify_one();
        }
        .instrument(span),
    );
}

/// Executes a job, with its progress reports and its deadline, when its instance is free.
async fn supervise(state: &AgentState, assignment: Assignment, control: Arc<Control>) {
    let lease = HeldLease { task_id: assignment.task_id, fence: assignment.fence };
    let time_left = (assignment.deadline - state.environment.now()).to_std().unwrap_or_default();
    let deadline = async {
        tokio::time::sleep(time_left).await;
        control.stop(StopReason::Deadline);
        std::future::pending::<Infallible>().await
    };
    let executing = async {
        // An earlier attempt of the task may still be undone: this one goes on with what it leaves.
        let _task_lock = state.machine.lock_task(assignment.task_id).await;
        let _instance_lock = match instance_of(&assignment.kind) {
            Some(instance) => Some(state.machine.lock_instance(instance).await),
            None => None,
        };
        execute(state, assignment, control.clone()).await;
    };
    tokio::select! {
        () = executing => {}
        never = progress::report_progress(state, lease, &control) => match never {},
        never = deadline => match never {},
    }
}

/// Executes a job, stores its outcome, and cleans up.
async fn execute(state: &AgentState, assignment: Assignment, control: Arc<Control>) {
    let lease = HeldLease { task_id: assignment.task_id, fence: assignment.fence };
    let journal = match create_journal(state, assignment.clone()).await {
        Ok(journal) => Arc::new(journal),
        Err(error) => return report_error(state, lease, error).await,
    };
    let job = Job { machine: state.machine.clone(), journal: journal.clone(), control };
    info!(kind = kind(&assignment.kind), "the job starts");
    match catch_panic(dispatch(&job, &assignment.kind)).await {
        Ok(outcome) => {
            if let Err(error) = job.note(steps::ENDED, []).await {
                warn!(?error, "cannot note the end of the job");
            }
            progress::report_last(state, lease, &job.control).await;
            // The outcome is stored before the clean-up: from here on nothing is undone any more.
            let cleanup =
                if store_outcome(state, lease, outcome).await { Cleanup::Commit } else { Cleanup::Rollback };
            clean_up_with_retries(&state.machine, &journal, cleanup).await;
            // Answered while the journal was there.
            let outbox = state.outbox.clone();
            blocking(move || outbox.forget_reported()).await.ok();
        }
        Err(error) => {
            // The clean-up comes before the report: the guest may be frozen.
            let cleanup = if is_repeated(&error) { Cleanup::Interrupted } else { Cleanup::Rollback };
            clean_up_with_retries(&state.machine, &journal, cleanup).await;
            report_error(state, lease, error).await;
        }
    }
}

/// Returns whether another attempt may follow.
fn is_repeated(error: &JobError) -> bool {
    match error {
        JobError::Failed(error) => error.is_retried(),
        JobError::Stopped(StopReason::LeaseLost | StopReason::Stopping) => true,
        JobError::Stopped(StopReason::Cancelled | StopReason::Deadline) => false,
    }
}

async fn create_journal(state: &AgentState, assignment: Assignment) -> Result<FileJournal, JobError> {
    let registration = state.registration();
    let header =
        Header::new(assignment, registration.driver.to_string(), registration.driver_settings.clone());
    let (folder, fault) = (state.machine.folders.journal(), state.machine.fault.clone());
    blocking(move || FileJournal::create(&folder, header, fault))
        .await?
        .map_err(|error| JobError::io("create the journal", &error))
}

async fn dispatch(job: &Job, kind: &AssignmentKind) -> Result<Outcome, JobError> {
    job.control.check()?;
    work(job, kind).await
}

/// A job in progress, on the heap.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Outcome, JobError>> + Send + 'a>>;

/// Returns the job of an assignment.
fn work<'a>(job: &'a Job, kind: &'a AssignmentKind) -> Work<'a> {
    match kind {
        AssignmentKind::Capture(capture) => boxed(job, capture, capture::run, Outcome::Captured),
        AssignmentKind::Import(order) => boxed(job, order, import::run, Outcome::Imported),
        AssignmentKind::RegisterImage(register) => {
            boxed(job, register, image::register, Outcome::ImageRegistered)
        }
        AssignmentKind::VerifyImage(verify) => boxed(job, verify, image::verify, Outcome::ImageRegistered),
        AssignmentKind::DeleteImage(delete) => boxed(job, delete, image::delete, |()| Outcome::Done),
        AssignmentKind::MoveImage(order) => boxed(job, order, relocate::run, Outcome::Moved),
        AssignmentKind::ExportImage(order) => boxed(job, order, export::run, Outcome::Exported),
        AssignmentKind::Deploy(order) if order.replace => {
            boxed(job, order, reinstall::run, Outcome::Deployed)
        }
        AssignmentKind::Deploy(order) => boxed(job, order, deploy::run, Outcome::Deployed),
        AssignmentKind::Start(power) => boxed(job, power, power::start, |()| Outcome::Done),
        AssignmentKind::Stop(power) => boxed(job, power, power::stop, |()| Outcome::Done),
        AssignmentKind::Coalesce(merge) => boxed(job, merge, coalesce::run, |()| Outcome::Done),
        AssignmentKind::ChangeDevices(order) => boxed(job, order, devices::run, |()| Outcome::Done),
        AssignmentKind::RegisterIso(order) => boxed(job, order, iso::register, Outcome::IsoRegistered),
        AssignmentKind::DeleteInstance(power) => boxed(job, power, power::delete, |()| Outcome::Done),
        AssignmentKind::TestStorage(test) => boxed(job, test, storage_test::run, Outcome::StorageTested),
        AssignmentKind::ScanStorage(order) => boxed(job, order, scan::run, |()| Outcome::StorageScanned),
        AssignmentKind::CleanStorage(order) => boxed(job, order, scan::clean, |()| Outcome::Done),
    }
}

/// Puts a job on the heap, in a stack frame of its own: one frame with room for the futures of all
/// kinds of jobs would not fit the stack of a thread.
fn boxed<'a, A, T, F>(
    job: &'a Job,
    assignment: &'a A,
    run: impl FnOnce(&'a Job, &'a A) -> F,
    outcome: fn(T) -> Outcome,
) -> Work<'a>
where
    F: Future<Output = Result<T, JobError>> + Send + 'a,
    T: 'a,
{
    let running = run(job, assignment);
    Box::pin(async move { running.await.map(outcome) })
}

/// Turns a panic of a job into its failure, so that other jobs continue.
async fn catch_panic<T>(job: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
    AssertUnwindSafe(job).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(panic.as_ref());
        error!(panic = message, "a job panicked");
        Err(JobError::failed(TaskErrorCode::Internal, format!("the job panicked: {message}")))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Stores the outcome of a job that did not succeed. A lost lease is not reported.
async fn report_error(state: &AgentState, lease: HeldLease, error: JobError) {
    let outcome = match error {
        JobError::Failed(error) => {
            warn!(code = error.code(), detail = error.operator_detail(), "the job failed");
            Outcome::Failed(error)
        }
        JobError::Stopped(StopReason::LeaseLost) => {
            info!("the lease is lost; the job is undone and not reported");
            return;
        }
        JobError::Stopped(StopReason::Cancelled) => Outcome::Cancelled,
        JobError::Stopped(StopReason::Deadline) => {
            failed(TaskErrorCode::DeadlineExceeded, "the deadline passed while the job was running")
        }
        JobError::Stopped(StopReason::Stopping) => {
            failed(TaskErrorCode::AgentStopping, "the agent was asked to stop")
        }
    };
    store_outcome(state, lease, outcome).await;
}

fn failed(code: TaskErrorCode, detail: &str) -> Outcome {
    warn!(code = code.as_str(), detail, "the job was stopped");
    Outcome::Failed(TaskError::new(code, detail))
}

/// Stores an outcome for the report; returns whether the disk took it.
async fn store_outcome(state: &AgentState, lease: HeldLease, outcome: Outcome) -> bool {
    let finish = Finish { agent_id: state.id, lease, outcome };
    let outbox = state.outbox.clone();
    match blocking(move || outbox.store(finish)).await {
        Ok(Ok(())) => true,
        // The lease expires, and the task is retried.
        Ok(Err(problem)) => {
            error!(error = %problem, "cannot store the outcome of a job");
            false
        }
        Err(error) => {
            error!(?error, "cannot store the outcome of a job");
            false
        }
    }
}

const fn kind(kind: &AssignmentKind) -> &'static str {
    match kind {
        AssignmentKind::Capture(_) => "capture",
        AssignmentKind::Import(_) => "import",
        AssignmentKind::RegisterImage(_) => "register-image",
        AssignmentKind::VerifyImage(_) => "verify-image",
        AssignmentKind::DeleteImage(_) => "delete-image",
        AssignmentKind::MoveImage(_) => "move-image",
        AssignmentKind::ExportImage(_) => "export-image",
        AssignmentKind::Deploy(_) => "deploy",
        AssignmentKind::Start(_) => "start",
        AssignmentKind::Stop(_) => "stop",
        AssignmentKind::Coalesce(_) => "coalesce",
        AssignmentKind::ChangeDevices(_) => "change-devices",
        AssignmentKind::RegisterIso(_) => "register-iso",
        AssignmentKind::DeleteInstance(_) => "delete-instance",
        AssignmentKind::TestStorage(_) => "test-storage",
        AssignmentKind::ScanStorage(_) => "scan-storage",
        AssignmentKind::CleanStorage(_) => "clean-storage",
    }
}
