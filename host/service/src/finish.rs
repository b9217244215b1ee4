//! The end of a piece of work, as its agent reports it. A report that was taken is answered the
//! same when it comes again; one under a lease that somebody took away changes nothing.

use imprint_agent_protocol::{CaptureResult, DeployResult, Finish, ImageResult, Outcome, ProtocolError};
use imprint_domain::{
    Error,
    id::HypervisorId,
    image::{IMAGE_FORMATS, ImageStatus, StoredImage, is_image_format},
    instance::InstanceStatus,
    task::{TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_store::{
    image::{self, CaptureNotes},
    instance, task,
    task::TaskRecord,
};

use crate::{
    Service,
    agent::{held, refused, unavailable},
    change::Change,
    coalesce,
    engine::{self, Again},
    service::DbResult,
    work::Order,
};

/// Bytes of a reason, and of a digest or a method, that are kept.
const MAX_DETAIL: usize = 4096;
const MAX_WORD: usize = 256;

pub(crate) async fn finish(
    service: &Service,
    hypervisor_id: HypervisorId,
    report: Finish,
) -> Result<(), ProtocolError> {
    let mut change = Change::begin(service).await.map_err(unavailable)?;
    let found = task::get(&change.conn(), report.lease.task_id).await.db().map_err(unavailable)?;
    let taken = found.is_some_and(|record| {
        record.task.hypervisor_id == hypervisor_id && record.finished_fence == report.lease.fence
    });
    // The answer was lost, nothing else.
    if taken && report.lease.fence > 0 {
        return Ok(());
    }
    let mut record = held(&change, hypervisor_id, report.agent_id, report.lease).await?;
    record.finished_fence = report.lease.fence;
    fits(&record, &report.outcome)?;
    apply(&mut change, &mut record, report.outcome).await.map_err(unavailable)?;
    change.commit().await.map_err(unavailable)
}

/// Refuses an outcome that does not belong to the task, or that makes no sense.
fn fits(record: &TaskRecord, outcome: &Outcome) -> Result<(), ProtocolError> {
    let kind = record.task.kind;
    let belongs = match (outcome, kind) {
        (Outcome::Captured(_), TaskKind::ImageCapture)
        | (Outcome::Adopted(_), TaskKind::ImageAdopt)
        | (Outcome::Deployed(_), TaskKind::InstanceDeploy)
        | (
            Outcome::Done,
            TaskKind::ImageDelete
            | TaskKind::InstanceStart
            | TaskKind::InstanceStop
            | TaskKind::InstanceCoalesce
            | TaskKind::InstanceDelete,
        )
        | (Outcome::Failed(_) | Outcome::Cancelled, _) => true,
        (Outcome::Captured(_) | Outcome::Adopted(_) | Outcome::Deployed(_) | Outcome::Done, _) => false,
    };
    if !belongs {
        return Err(refused(format!("this is not how a task {} ends", kind.as_str())));
    }
    match outcome {
        Outcome::Captured(CaptureResult { image, .. }) | Outcome::Adopted(ImageResult { image }) => {
            sensible(image)
        }
        Outcome::Deployed(_) | Outcome::Done | Outcome::Failed(_) | Outcome::Cancelled => Ok(()),
    }
}

fn sensible(image: &StoredImage) -> Result<(), ProtocolError> {
    let digest = |text: &str| !text.is_empty() && text.len() <= MAX_WORD && text.is_ascii();
    if !is_image_format(&image.format) {
        return Err(refused(format!("the format is one of {}", IMAGE_FORMATS.join(", "))));
    }
    if !digest(&image.logical_digest) || !digest(&image.stored_digest) {
        return Err(refused("an image has both digests"));
    }
    if image.size.bytes() == 0 || image.virtual_size.bytes() == 0 {
        return Err(refused("an image has bytes (S128)"));
    }
    Ok(())
}

async fn apply(change: &mut Change<'_>, record: &mut TaskRecord, outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Captured(result) => captured(change, record, result).await,
        Outcome::Adopted(result) => {
            stored(change, record, result.image, CaptureNotes::default()).await?;
            engine::succeed(change, record).await
        }
        Outcome::Deployed(result) => {
            deployed(change, record, &result).await?;
            engine::succeed(change, record).await
        }
        Outcome::Done => engine::succeed(change, record).await,
        Outcome::Failed(error) if error.is(TaskErrorCode::AgentStopping) => {
            put_back(change, record, error).await
        }
        Outcome::Failed(error) => {
            let again = if error.is_retried() { Again::AfterPause } else { Again::Never };
            let error = coalesce::mark_repeated(change, record, error).await?;
            engine::attempt_failed(change, record, error, again).await
        }
        Outcome::Cancelled if record.task.cancel_requested => {
            engine::end(change, record, TaskState::Cancelled).await
        }
        // Nobody asked: the agent was stopped.
        Outcome::Cancelled => {
            let error = TaskError::new(TaskErrorCode::AgentStopping, "the agent stopped before it was done");
            put_back(change, record, error).await
        }
    }
}

/// Back into the queue, and the attempt does not count: only the deadline bounds how often an
/// operator restarts an agent.
async fn put_back(change: &mut Change<'_>, record: &mut TaskRecord, error: TaskError) -> Result<(), Error> {
    record.attempts_allowed = record.attempts_allowed.saturating_add(1);
    engine::attempt_failed(change, record, error, Again::AtOnce).await
}

fn cut(text: &str, bytes: usize) -> String {
    text.chars()
        .scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= bytes).then_some(c)
        })
        .collect()
}

async fn captured(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    result: CaptureResult,
) -> Result<(), Error> {
    if let Order::Capture { minimum, .. } = Order::of(record)?
        && result.consistency < minimum
    {
        // X11: never silently lowered. The file goes when the image is deleted.
        let context = TaskErrorContext {
            reached: Some(result.consistency),
            minimum: Some(minimum),
            ..TaskErrorContext::default()
        };
        let detail = result.downgraded_because.as_deref().unwrap_or("the agent gives no reason");
        let error = TaskError::new(TaskErrorCode::ConsistencyNotReached, detail).with(context);
        return engine::attempt_failed(change, record, error, Again::Never).await;
    }
    let image = StoredImage { consistency: Some(result.consistency), ..result.image };
    let notes = CaptureNotes {
        downgraded_because: result.downgraded_because.map(|text| cut(&text, MAX_DETAIL)),
        method: Some(cut(&result.method, MAX_WORD)),
        frozen_ms: Some(result.frozen_ms),
        stopped_ms: Some(result.stopped_ms),
    };
    stored(change, record, image, notes).await?;
    engine::succeed(change, record).await
}

/// Bytes durable, then the row, then visible: the image becomes available.
async fn stored(
    change: &mut Change<'_>,
    record: &TaskRecord,
    stored: StoredImage,
    notes: CaptureNotes,
) -> Result<(), Error> {
    let Some(id) = record.task.image_id else { return Ok(()) };
    let Some(mut found) = image::get(&change.conn(), id).await.db()? else { return Ok(()) };
    if !found.image.status.may_become(ImageStatus::Available) {
        return Ok(());
    }
    found.image.status = ImageStatus::Available;
    found.image.available_at = Some(change.now);
    found.image.stored = Some(stored);
    found.image.version = found.image.version.saturating_add(1);
    found.capture = notes;
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

async fn deployed(change: &mut Change<'_>, record: &TaskRecord, result: &DeployResult) -> Result<(), Error> {
    let Some(id) = record.task.instance_id else { return Ok(()) };
    let Some(mut found) = instance::get(&change.conn(), id).await.db()? else { return Ok(()) };
    found.instance.status = InstanceStatus::Ready;
    found.instance.power = result.power;
    instance::update(&change.tx, &found).await.db()?;
    instance::set_allocated(&change.tx, id, result.disk_allocated).await.db()?;
    change.instance_changed(&found).await
}
