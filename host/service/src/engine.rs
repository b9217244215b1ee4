//! The life of a task, step by step, each with what it means for its image and its instance.
//!
//! ```text
//!            claim                finish: done
//!  queued ----------> running -------------------> succeeded
//!    ^ |                | |
//!    | | cancel         | | finish: failed for good, attempts used up, deadline
//!    | +-> cancelled    | +----------------------> failed
//!    |                  | finish: cancelled
//!    |                  +------------------------> cancelled
//!    |  retryable failure, lease expired, agent restarted
//!    +------------------+
//!    +---- retry by a person, from failed or cancelled
//! ```
//!
//! Every step is part of a [`Change`]: the task, its image, its instance and the events move
//! together or not at all.

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    id::{AccountId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    image::ImageStatus,
    instance::{InstanceStatus, Power},
    task::{MAX_ATTEMPTS, Phase, Progress, Task, TaskKind, TaskState},
    task_error::TaskError,
};
use imprint_store::{image, instance, task, task::TaskRecord};
use tracing::warn;

use crate::{change::Change, service::DbResult, work::Order};

/// The pause before the second attempt, in seconds; each further one is four times as long, at most
/// [`MAX_PAUSE_S`].
const FIRST_PAUSE_S: i64 = 5;
const MAX_PAUSE_S: i64 = 600;

/// A task to queue.
pub(crate) struct NewTask {
    pub(crate) account_id: AccountId,
    pub(crate) kind: TaskKind,
    pub(crate) image_id: Option<ImageId>,
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) hypervisor_id: HypervisorId,
    pub(crate) order: Order,
    pub(crate) request_id: RequestId,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// After a pause, if attempts are left.
    AfterPause,
    /// At once, if attempts are left: the failure says nothing about the work.
    AtOnce,
    /// Never.
    Never,
}

/// A fresh record; not written yet.
pub(crate) fn new_task(change: &Change<'_>, id: TaskId, new: NewTask) -> Result<TaskRecord, Error> {
    Ok(TaskRecord {
        task: Task {
            id,
            account_id: new.account_id,
            kind: new.kind,
            state: TaskState::Queued,
            progress: FRESH,
            image_id: new.image_id,
            instance_id: new.instance_id,
            hypervisor_id: new.hypervisor_id,
            attempts: 0,
            cancel_requested: false,
            run_after: change.now,
            deadline: change.now + TimeDelta::seconds(new.kind.deadline_s()),
            lease: None,
            error: None,
            request_id: new.request_id,
            created_at: change.now,
            started_at: None,
            finished_at: None,
        },
        payload: new.order.to_payload()?,
        attempts_allowed: MAX_ATTEMPTS,
        fence: 0,
        finished_fence: 0,
        sampled_at: None,
        sampled_bytes: 0,
        rate_bps: None,
        change: 0,
    })
}

const FRESH: Progress = Progress { phase: Phase::Queued, bytes_done: 0, bytes_total: None };

/// Queues a new task.
pub(crate) async fn queue(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    task::insert(&change.tx, record).await.db()?;
    change.task_changed(record).await
}

/// Writes a task's row and tells of it.
pub(crate) async fn save(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    task::update(&change.tx, record).await.db()?;
    change.task_changed(record).await
}

/// Puts a task back into the queue, for a new attempt that begins with fresh progress.
fn requeue(record: &mut TaskRecord) {
    record.task.state = TaskState::Queued;
    record.task.progress = FRESH;
    record.task.lease = None;
    record.task.finished_at = None;
    record.sampled_at = None;
    record.sampled_bytes = 0;
    record.rate_bps = None;
}

/// An attempt failed: queue the next one, or end the task.
pub(crate) async fn attempt_failed(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    error: TaskError,
    again: Again,
) -> Result<(), Error> {
    // The detail never reaches customers, so the log is where operators find it by the task's id.
    warn!(task = %record.task.id, code = error.code(), detail = error.operator_detail(), "an attempt failed");
    record.task.error = Some(error);
    if record.task.cancel_requested {
        return end(change, record, TaskState::Cancelled).await;
    }
    let pause = match again {
        Again::AfterPause => pause(record.task.attempts),
        Again::AtOnce => TimeDelta::zero(),
        Again::Never => return end(change, record, TaskState::Failed).await,
    };
    let next = change.now + pause;
    if record.task.attempts >= record.attempts_allowed || next >= record.task.deadline {
        return end(change, record, TaskState::Failed).await;
    }
    requeue(record);
    record.task.run_after = next;
    change.queue_moved(record);
    save(change, record).await
}

fn pause(attempts: u32) -> TimeDelta {
    let factor = 4_i64.saturating_pow(attempts.saturating_sub(1));
    TimeDelta::seconds(FIRST_PAUSE_S.saturating_mul(factor).min(MAX_PAUSE_S))
}

/// Ends a task without success, with what that means for its image or instance.
pub(crate) async fn end(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    state: TaskState,
) -> Result<(), Error> {
    change.queue_moved(record);
    record.task.state = state;
    record.task.lease = None;
    record.task.finished_at = Some(change.now);
    record.rate_bps = None;
    match record.task.kind {
        TaskKind::ImageCapture | TaskKind::ImageAdopt => image_failed(change, record).await?,
        TaskKind::InstanceDeploy => instance_failed(change, record).await?,
        // A deletion is not taken back: a reconciler gives it another try.
        TaskKind::ImageDelete
        | TaskKind::InstanceDelete
        | TaskKind::InstanceStart
        | TaskKind::InstanceStop
        | TaskKind::InstanceCoalesce => {}
    }
    save(change, record).await
}

async fn image_failed(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let Some(id) = record.task.image_id else { return Ok(()) };
    let Some(mut found) = image::get(&change.conn(), id).await.db()? else { return Ok(()) };
    if !found.image.status.may_become(ImageStatus::Error) {
        return Ok(());
    }
    found.image.status = ImageStatus::Error;
    found.image.version = found.image.version.saturating_add(1);
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

async fn instance_failed(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    set_instance(change, record, InstanceStatus::Deploying, |found| {
        found.status = InstanceStatus::Error;
    })
    .await
}

/// Changes the task's instance, if it is there and in that status.
async fn set_instance(
    change: &mut Change<'_>,
    record: &TaskRecord,
    from: InstanceStatus,
    set: impl FnOnce(&mut imprint_domain::instance::Instance),
) -> Result<(), Error> {
    let Some(id) = record.task.instance_id else { return Ok(()) };
    let Some(mut found) = instance::get(&change.conn(), id).await.db()? else { return Ok(()) };
    if found.instance.status != from {
        return Ok(());
    }
    set(&mut found.instance);
    instance::update(&change.tx, &found).await.db()?;
    change.instance_changed(&found).await
}

/// Ends a task with success; what it made has been written by the caller, what it removed goes
/// here.
pub(crate) async fn succeed(change: &mut Change<'_>, record: &mut TaskRecord) -> Result<(), Error> {
    match record.task.kind {
        TaskKind::ImageCapture
        | TaskKind::ImageAdopt
        | TaskKind::InstanceDeploy
        | TaskKind::InstanceCoalesce => {}
        TaskKind::ImageDelete => {
            if let Some(id) = record.task.image_id {
                image::delete(&change.tx, id).await.db()?;
                change.image_gone(record.task.account_id, id).await?;
            }
        }
        TaskKind::InstanceStart => set_power(change, record, Power::Running).await?,
        TaskKind::InstanceStop => set_power(change, record, Power::Off).await?,
        TaskKind::InstanceDelete => {
            if let Some(id) = record.task.instance_id {
                instance::delete(&change.tx, id).await.db()?;
                change.instance_gone(record.task.account_id, id).await?;
            }
        }
    }
    record.payload = Order::Plain.to_payload()?;
    let progress = &mut record.task.progress;
    progress.phase = Phase::Done;
    if let Some(total) = progress.bytes_total {
        progress.bytes_done = total;
    }
    change.queue_moved(record);
    record.task.state = TaskState::Succeeded;
    record.task.lease = None;
    record.task.error = None;
    record.task.finished_at = Some(change.now);
    record.rate_bps = None;
    save(change, record).await
}

async fn set_power(change: &mut Change<'_>, record: &TaskRecord, power: Power) -> Result<(), Error> {
    set_instance(change, record, InstanceStatus::Ready, |found| found.power = power).await
}

/// Gives a task that is over a new attempt, because a person asked or because a deletion has to
/// come to its end.
pub(crate) async fn again(change: &mut Change<'_>, record: &mut TaskRecord) -> Result<(), Error> {
    requeue(record);
    record.task.cancel_requested = false;
    record.task.error = None;
    record.task.run_after = change.now;
    record.task.deadline = change.now + TimeDelta::seconds(record.task.kind.deadline_s());
    record.attempts_allowed = record.task.attempts.saturating_add(MAX_ATTEMPTS);
    save(change, record).await
}

/// The present state does not allow it.
pub(crate) fn not_now(detail: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidTransition, detail)
}
