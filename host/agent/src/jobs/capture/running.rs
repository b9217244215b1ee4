//! Capturing a running instance through its driver.

use std::{path::Path, sync::Arc};

use imprint_agent_protocol::{CaptureAssignment, CaptureResult};
use imprint_data_path::Disk;
use imprint_domain::{
    consistency::Consistency,
    task::Phase,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{CaptureOutcome, CaptureRequest, Driver, StartedCapture};
use tracing::warn;

use super::{
    monitor::{self, CaptureMonitor, SCRATCH_RESERVED_BYTES},
    reclaim::Reclaimed,
    upload::{self, Captured},
};
use crate::{
    error::JobError,
    jobs::{
        copy,
        job::{Job, capture_id},
    },
    journal::steps,
    machine::storages::Storage,
};

/// The format of the scratch file for disks of every format: it only takes the space of what the
/// guest overwrites.
const SCRATCH_FORMAT: &str = "qcow2";
/// The longest freeze that any request is given, in milliseconds; the control plane's setting is
/// two seconds by default.
const LONGEST_FREEZE_MS: u32 = 10_000;
/// The share of the scratch file's limit that must be free before a capture starts, as a divisor;
/// the rest is monitored.
const FREE_SHARE: u64 = 4;

pub(super) async fn run(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: Storage,
    reclaimed: Reclaimed,
) -> Result<CaptureResult, JobError> {
    let driver = job.driver().await?;
    let request = request(job, assignment);
    let virtual_size = plan(job, assignment, driver.as_ref(), &request, reclaimed).await?;
    create_scratch(job, &request, virtual_size).await?;
    job.control.check()?;
    job.control.phase(Phase::Snapshotting);
    job.note(steps::SNAPSHOT, [("capture", request.capture_id.clone())]).await?;
    // A cancellation does not interrupt this call: it is short, and must be undone as a whole.
    let journal = job.shared_journal();
    let begin = driver.begin_capture(&request, &journal);
    let mut started = monitor::begin(&job.machine.settings, job.journal.guest_hold(), begin).await?;
    started.quiesce.downgrade_reason = reclaimed.explain(started.quiesce.downgrade_reason);
    job.note(steps::SNAPSHOTTED, []).await?;
    let level = reached(assignment, &started)?;
    let captured = copy_out(job, assignment, storage, &started, &request, driver.clone()).await?;
    take_down(job, driver.as_ref(), &request).await;
    Ok(CaptureResult {
        image: upload::stored_image(assignment, &captured.written, level)?,
        consistency: level,
        downgraded_because: started.quiesce.downgrade_reason,
        method: started.method,
        frozen_ms: started.quiesce.frozen_total_ms,
        stopped_ms: started.quiesce.vm_stopped_ms,
        findings: captured.findings,
    })
}

fn request(job: &Job, assignment: &CaptureAssignment) -> CaptureRequest {
    CaptureRequest {
        vm_id: assignment.instance.id.to_string(),
        capture_id: capture_id(job.journal.header().assignment.task_id),
        want: assignment.want,
        minimum: assignment.minimum,
        scratch_path: job.scratch_file(),
        scratch_limit: assignment.scratch_limit.unwrap_or(assignment.instance.disk_size).bytes(),
        freeze_limit_ms: assignment.freeze_limit_ms.min(LONGEST_FREEZE_MS),
    }
}

/// Asks the driver whether the capture is possible, before anything is changed. Returns the disk's
/// size.
async fn plan(
    job: &Job,
    assignment: &CaptureAssignment,
    driver: &dyn Driver,
    request: &CaptureRequest,
    reclaimed: Reclaimed,
) -> Result<u64, JobError> {
    let plan = job.control.unless_stopped(driver.plan_capture(request)).await??;
    if plan.expected < request.minimum {
        let reason = reclaimed.explain(Some(plan.remarks.join("; "))).unwrap_or_default();
        return Err(not_reached(assignment, plan.expected, &reason));
    }
    Ok(plan.virtual_size)
}

async fn create_scratch(job: &Job, request: &CaptureRequest, virtual_size: u64) -> Result<(), JobError> {
    let format = job.machine.format(SCRATCH_FORMAT)?;
    let needed =
        (request.scratch_limit.min(virtual_size) / FREE_SHARE).saturating_add(SCRATCH_RESERVED_BYTES);
    job.machine.require_room(&job.machine.folders.scratch(), needed)?;
    job.note(steps::SCRATCH, [("path", request.scratch_path.display().to_string())]).await?;
    let name = request.scratch_path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = request.scratch_path.parent().unwrap_or(Path::new("/"));
    copy::write_empty(format.as_ref(), copy::local(folder, name)?, virtual_size).await
}

fn reached(assignment: &CaptureAssignment, started: &StartedCapture) -> Result<Consistency, JobError> {
    let level = started.quiesce.level;
    if level < assignment.minimum {
        let reason = started.quiesce.downgrade_reason.as_deref().unwrap_or("the driver gives no reason");
        return Err(not_reached(assignment, level, reason));
    }
    if started.content != "raw" {
        return Err(JobError::failed(
            TaskErrorCode::DriverContent,
            "the driver serves something other than a plain disk",
        ));
    }
    Ok(level)
}

fn not_reached(assignment: &CaptureAssignment, level: Consistency, reason: &str) -> JobError {
    let context = TaskErrorContext {
        reached: Some(level),
        minimum: Some(assignment.minimum),
        ..TaskErrorContext::default()
    };
    JobError::Failed(TaskError::new(TaskErrorCode::ConsistencyNotReached, reason).with(context))
}

/// Copies the disk while the agent monitors the instance, the snapshot and the scratch file.
async fn copy_out(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: Storage,
    started: &StartedCapture,
    request: &CaptureRequest,
    driver: Arc<dyn Driver>,
) -> Result<Captured, JobError> {
    let cancel = job.control.child_token();
    let monitor = CaptureMonitor {
        driver,
        dir: job.machine.instance_dir(assignment.instance.id),
        vm: request.vm_id.clone(),
        capture: request.capture_id.clone(),
        scratch: request.scratch_path.clone(),
        scratch_limit: request.scratch_limit,
    };
    let copying = async {
        let disk = copy::open_export(started.source.clone(), cancel.clone()).await?;
        verify_size(&disk, started)?;
        upload::capture(job, assignment, &storage, &disk, cancel.clone()).await
    };
    tokio::pin!(copying);
    let lost = tokio::select! {
        biased;
        done = &mut copying => return match done {
            Err(JobError::Failed(error)) => Err(root_cause(&monitor, error).await),
            Err(error @ JobError::Stopped(_)) => Err(job.control.prefer_stop_reason(error)),
            Ok(captured) => Ok(captured),
        },
        lost = monitor.wait_until_lost() => lost,
    };
    // The threads of the data path end before the clean-up removes their files. If the image has
    // become visible meanwhile, it is complete: every byte was read and verified.
    cancel.cancel();
    match copying.await {
        Ok(captured) => Ok(captured),
        Err(JobError::Stopped(_)) => Err(job.control.check().err().unwrap_or(lost)),
        Err(JobError::Failed(error)) => {
            warn!(
                code = error.code(),
                detail = error.operator_detail(),
                "the copy failed together with the capture"
            );
            Err(lost)
        }
    }
}

/// Returns the cause of a failed copy. When the capture itself has failed (a full scratch file, an
/// instance that has ended), the copy only notices a broken export.
async fn root_cause(monitor: &CaptureMonitor, error: TaskError) -> JobError {
    match monitor.check().await {
        Ok(Some(reason)) => reason,
        Ok(None) | Err(_) => JobError::Failed(error),
    }
}

fn verify_size(disk: &Disk, started: &StartedCapture) -> Result<(), JobError> {
    if disk.size() == started.virtual_size {
        return Ok(());
    }
    Err(JobError::failed(
        TaskErrorCode::DriverSize,
        "the hypervisor serves a disk of another size than it announced",
    ))
}

/// Ends the capture in the hypervisor. The image is stored, so a failure here only leaves the rest
/// to the clean-up.
async fn take_down(job: &Job, driver: &dyn Driver, request: &CaptureRequest) {
    let ended = driver
        .end_capture(&request.vm_id, &request.capture_id, CaptureOutcome::Commit, &job.shared_journal())
        .await
        .map_err(JobError::from);
    let noted = match ended {
        Ok(()) => job.note(steps::DOWN, []).await,
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        warn!(vm = request.vm_id, ?error, "cannot end the capture in the hypervisor yet");
    }
}
