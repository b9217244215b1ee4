//! The end of an assignment, as its agent reports it. A report that was accepted gets the same
//! answer when it is repeated; one under a lease that was taken back changes nothing.

use std::pin::Pin;

use chrono::TimeDelta;
use imprint_agent_protocol::{
    CaptureResult, DeployResult, Finish, ImageResult, ImportResult, IsoResult, Outcome, ProtocolError,
};
use imprint_domain::{
    Error,
    estimate::PastCapture,
    findings::DiskFindings,
    id::{HypervisorId, ImageId},
    image::{ImageFormat, StoredImage},
    import::ImportedFile,
    instance::NewSystem,
    iso::StoredIso,
    task::{RetryPolicy, TaskKind, TaskResult, TaskState},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_store::{
    image::{self, CaptureNotes},
    image_findings, image_import,
    instance::{self, InstanceRecord},
    task,
    task::{TaskFilter, TaskRecord},
};

use crate::{
    Service,
    change::Change,
    db_result::DbResult,
    images::estimate,
    storages::scan::{self, Unlisted},
    tasks::{
        capture_failure, device_results, export_state,
        lease::{leased_task, refused, unavailable},
        lifecycle, moves,
        payload::{NewDisk, TaskPayload},
    },
    validate::truncate,
};

/// The stored lengths of a reason and of a capture method, in bytes.
const MAX_DETAIL: usize = 4096;
const MAX_TEXT: usize = 256;
/// The number of earlier failures of an instance that are considered.
const MAX_HISTORY: u32 = 20;

pub(crate) async fn finish(
    service: &Service,
    hypervisor_id: HypervisorId,
    report: Finish,
) -> Result<(), ProtocolError> {
    // Reads much, so it is done before the transaction.
    let unlisted = if matches!(report.outcome, Outcome::StorageScanned) {
        scan::unlisted(&service.read(), report.lease.task_id).await.map_err(unavailable)?
    } else {
        Vec::new()
    };
    let mut change = Change::begin(service).await.map_err(unavailable)?;
    let found = task::get(&change.conn(), report.lease.task_id).await.db().map_err(unavailable)?;
    let accepted = found.is_some_and(|record| {
        record.task.hypervisor_id == hypervisor_id && record.task.finished_fence == report.lease.fence
    });
    // Only the answer was lost.
    if accepted && report.lease.fence > 0 {
        return Ok(());
    }
    let mut record = leased_task(&change, hypervisor_id, report.agent_id, report.lease).await?;
    record.task.accept_report();
    validate_outcome(&record, &report.outcome)?;
    apply(&mut change, &mut record, report.outcome, unlisted).await.map_err(unavailable)?;
    change.commit().await.map_err(unavailable)
}

/// Refuses an outcome that does not belong to the task or that makes no sense.
fn validate_outcome(record: &TaskRecord, outcome: &Outcome) -> Result<(), ProtocolError> {
    let reported = match outcome {
        Outcome::Captured(_) => TaskResult::CapturedImage,
        Outcome::Imported(_) => TaskResult::ImportedImage,
        Outcome::ImageRegistered(_) => TaskResult::RegisteredImage,
        Outcome::IsoRegistered(_) => TaskResult::RegisteredIso,
        Outcome::Moved(_) => TaskResult::MovedImage,
        Outcome::Exported(_) => TaskResult::ExportedImage,
        Outcome::Deployed(_) => TaskResult::DeployedInstance,
        Outcome::StorageTested(_) => TaskResult::TestedStorage,
        Outcome::StorageScanned => TaskResult::ScannedStorage,
        Outcome::Done => TaskResult::Nothing,
        Outcome::Failed(_) | Outcome::Cancelled => return Ok(()),
    };
    let kind = record.task.kind;
    if reported != kind.spec().result {
        return Err(refused(format!("a task {kind} does not end with this result")));
    }
    match outcome {
        Outcome::Captured(CaptureResult { image, .. })
        | Outcome::ImageRegistered(ImageResult { image, .. }) => validate_image(image),
        Outcome::Imported(result) => validate_image(&result.image),
        Outcome::IsoRegistered(result) if result.stored.size.bytes() == 0 => {
            Err(refused("the reported ISO has no bytes"))
        }
        Outcome::Exported(result) if result.stored.size.bytes() == 0 => {
            Err(refused("the reported export has no bytes"))
        }
        Outcome::IsoRegistered(_)
        | Outcome::Moved(_)
        | Outcome::Exported(_)
        | Outcome::Deployed(_)
        | Outcome::StorageTested(_)
        | Outcome::StorageScanned
        | Outcome::Done
        | Outcome::Failed(_)
        | Outcome::Cancelled => Ok(()),
    }
}

fn validate_image(image: &StoredImage) -> Result<(), ProtocolError> {
    if image.size.bytes() == 0 || image.virtual_size.bytes() == 0 {
        return Err(refused("the reported image has no bytes"));
    }
    Ok(())
}

/// What an outcome changes, on the heap.
type Applied<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Returns what an outcome changes. Each kind has a stack frame of its own: one with room for all
/// of them does not fit the stack of a thread.
fn apply<'a>(
    change: &'a mut Change<'_>,
    record: &'a mut TaskRecord,
    outcome: Outcome,
    unlisted: Vec<Unlisted>,
) -> Applied<'a> {
    match outcome {
        Outcome::Captured(result) => Box::pin(captured(change, record, result)),
        Outcome::Imported(result) => Box::pin(async move {
            imported(change, record, &result).await?;
            let found = (result.image, result.findings);
            publish(change, record, found, CaptureNotes::default()).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::ImageRegistered(result) if record.task.kind == TaskKind::ImageVerify => {
            Box::pin(async move {
                confirm(change, record, result).await?;
                lifecycle::succeed(change, record).await
            })
        }
        Outcome::ImageRegistered(result) => Box::pin(async move {
            let found = (result.image, result.findings);
            publish(change, record, found, CaptureNotes::default()).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::IsoRegistered(result) => Box::pin(async move {
            let label = truncate(&result.stored.label, MAX_TEXT);
            let stored = StoredIso { label, ..result.stored };
            device_results::registered(change, record, IsoResult { stored }).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::Moved(result) => Box::pin(async move { moves::moved(change, record, &result).await }),
        Outcome::Exported(result) => Box::pin(async move {
            let kept = TimeDelta::hours(change.service.settings().export_kept_h.into());
            export_state::exported(change, record, result, change.now + kept).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::Deployed(result) => Box::pin(async move {
            deployed(change, record, &result).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::StorageTested(test) => Box::pin(async move {
            record.result = Some(serde_json::to_string(&test.bounded()).map_err(Error::internal)?);
            lifecycle::succeed(change, record).await
        }),
        Outcome::StorageScanned => Box::pin(async move {
            scan::complete(change, record, unlisted).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::Done if record.task.kind == TaskKind::StorageClean => Box::pin(async move {
            scan::cleaned(change, record).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::Done => Box::pin(async move {
            device_results::changed(change, record).await?;
            export_state::removed(change, record).await?;
            lifecycle::succeed(change, record).await
        }),
        Outcome::Failed(error) if error.is(TaskErrorCode::AgentStopping) => {
            Box::pin(release(change, record, error))
        }
        Outcome::Failed(error) => Box::pin(async move {
            let retry = capture_failure::retry_of(change, record, &error);
            let error = mark_repeated(change, record, error).await?;
            lifecycle::attempt_failed(change, record, error, retry).await
        }),
        Outcome::Cancelled if record.task.cancel_requested => Box::pin(lifecycle::cancel(change, record)),
        // Not requested: the agent was stopped.
        Outcome::Cancelled => {
            let error = TaskError::new(TaskErrorCode::AgentStopping, "the agent stopped before it was done");
            Box::pin(release(change, record, error))
        }
    }
}

/// Queues the task again without counting the attempt: only the deadline limits how often an
/// operator restarts an agent.
async fn release(change: &mut Change<'_>, record: &mut TaskRecord, error: TaskError) -> Result<(), Error> {
    record.task.grant_attempt();
    lifecycle::attempt_failed(change, record, error, RetryPolicy::Immediately).await
}

async fn captured(
    change: &mut Change<'_>,
    record: &mut TaskRecord,
    result: CaptureResult,
) -> Result<(), Error> {
    let TaskPayload::Capture { minimum, compression, content, .. } = TaskPayload::of(record)? else {
        return Err(Error::internal("a task that captured nothing has captured an image"));
    };
    if result.consistency < minimum {
        // X11: never silently lowered. The file goes when the image is deleted.
        let context = TaskErrorContext {
            reached: Some(result.consistency),
            minimum: Some(minimum),
            ..TaskErrorContext::default()
        };
        let detail = result.downgraded_because.as_deref().unwrap_or("the agent gives no reason");
        let error = TaskError::new(TaskErrorCode::ConsistencyNotReached, detail).with(context);
        return lifecycle::attempt_failed(change, record, error, RetryPolicy::Never).await;
    }
    let image = StoredImage { consistency: Some(result.consistency), ..result.image };
    let took_ms = estimate::elapsed_ms(record, change.now);
    let notes = CaptureNotes {
        downgraded_because: result.downgraded_because.map(|text| truncate(&text, MAX_DETAIL)),
        method: Some(truncate(&result.method, MAX_TEXT)),
        frozen_ms: Some(result.frozen_ms),
        stopped_ms: Some(result.stopped_ms),
        took_ms: Some(took_ms),
        ..CaptureNotes::default()
    };
    // A raw file is as large as the disk, which says nothing about files of other formats.
    let stored = if image.format == ImageFormat::Raw { content } else { image.size };
    estimate::remember(change, record, compression, PastCapture { content, stored, took_ms }).await?;
    publish(change, record, (image, result.findings), notes).await?;
    capture_failure::forget(change, record).await?;
    lifecycle::succeed(change, record).await
}

/// Keeps what the file of an import was.
async fn imported(change: &Change<'_>, record: &TaskRecord, result: &ImportResult) -> Result<(), Error> {
    let Some(id) = record.task.image_id else { return Ok(()) };
    let Some(mut import) = image_import::get(&change.conn(), id).await.db()? else { return Ok(()) };
    import.file =
        Some(ImportedFile { size: result.file_size, format: result.format, packing: result.packing });
    image_import::update(&change.tx, &import).await.db()
}

/// Makes the image available: bytes durable, then the row, then visible.
async fn publish(
    change: &mut Change<'_>,
    record: &TaskRecord,
    (stored, findings): (StoredImage, Option<DiskFindings>),
    notes: CaptureNotes,
) -> Result<(), Error> {
    let Some(mut found) = lifecycle::image_of(change, record).await? else { return Ok(()) };
    if found.image.publish(stored, change.now).is_err() {
        return Ok(());
    }
    let CaptureNotes { estimated, estimated_s, .. } = found.capture;
    found.capture = CaptureNotes { estimated, estimated_s, ..notes };
    if let Some(findings) = &findings {
        found.image.inspected(findings);
        keep(change, found.image.id, findings).await?;
    }
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

/// Takes over what the file of an image is like that was read again.
async fn confirm(change: &mut Change<'_>, record: &TaskRecord, found: ImageResult) -> Result<(), Error> {
    let Some(mut image) = lifecycle::image_of(change, record).await? else { return Ok(()) };
    // It may have been deleted meanwhile.
    if image.image.confirm(found.image, change.now).is_err() {
        return Ok(());
    }
    if let Some(findings) = &found.findings {
        keep(change, image.image.id, findings).await?;
    }
    image::update(&change.tx, &image).await.db()?;
    scan::compare_again(change, &image).await?;
    change.image_changed(&image).await
}

/// Keeps what was found inside of an image's disk (X5).
async fn keep(change: &Change<'_>, id: ImageId, findings: &DiskFindings) -> Result<(), Error> {
    image_findings::put(&change.tx, id, change.now, findings).await.db()
}

async fn deployed(change: &mut Change<'_>, record: &TaskRecord, result: &DeployResult) -> Result<(), Error> {
    let Some(mut found) = lifecycle::instance_of(change, record).await? else { return Ok(()) };
    if let TaskPayload::Deploy { disk: Some(disk), .. } = TaskPayload::of(record)? {
        return reinstalled(change, record, found, disk, result).await;
    }
    if found.instance.deployed(result.power).is_err() {
        return Ok(());
    }
    found.instance.observe_network(result.network.clone());
    instance::update(&change.tx, &found).await.db()?;
    instance::set_allocated(&change.tx, found.instance.id, result.disk_allocated).await.db()?;
    change.instance_changed(&found).await
}

/// Writes what an instance is after its disk was written anew.
async fn reinstalled(
    change: &mut Change<'_>,
    record: &TaskRecord,
    mut found: InstanceRecord,
    disk: NewDisk,
    result: &DeployResult,
) -> Result<(), Error> {
    let image = lifecycle::image_of(change, record).await?.map(|record| record.image);
    let system = NewSystem {
        image_id: image.as_ref().map(|image| image.id),
        guest: image.as_ref().map(|image| image.guest).unwrap_or_default(),
        metadata: image.map(|image| image.metadata.clone()).unwrap_or_default(),
        declared_os: disk.declared_os,
        disk_size: disk.size,
    };
    // It may be on its way out: then nothing of it matters any more.
    if found.instance.reinstalled(system, result.power).is_err() {
        return Ok(());
    }
    found.instance.observe_network(result.network.clone());
    instance::update(&change.tx, &found).await.db()?;
    instance::replace_primary(&change.tx, found.instance.id, disk.id, disk.size).await.db()?;
    instance::set_allocated(&change.tx, found.instance.id, result.disk_allocated).await.db()?;
    change.instance_changed(&found).await
}

/// Marks the error of a merge that took too long, where one of the same instance did so before: its
/// owner then learns what helps besides waiting (S49). Returns any other error as it is.
async fn mark_repeated(
    change: &Change<'_>,
    record: &TaskRecord,
    error: TaskError,
) -> Result<TaskError, Error> {
    if !error.is(TaskErrorCode::CoalesceTimeout) {
        return Ok(error);
    }
    let filter = TaskFilter {
        account_id: None,
        state: vec![TaskState::Failed],
        image_id: None,
        instance_id: record.task.instance_id,
        before: None,
        limit: MAX_HISTORY,
    };
    let failed = task::list(&change.conn(), &filter).await.db()?;
    let before = failed.iter().filter(|earlier| earlier.task.id != record.task.id).any(is_timeout);
    Ok(if before { error.repeated() } else { error })
}

fn is_timeout(record: &TaskRecord) -> bool {
    record.task.error.as_ref().is_some_and(|error| error.is(TaskErrorCode::CoalesceTimeout))
}
