//! Capturing a running instance through its driver.

use std::{path::Path, sync::Arc};

use imprint_agent_protocol::{CaptureResult, CaptureWork};
use imprint_data_path::{Disk, Written};
use imprint_domain::{
    consistency::Consistency,
    task::Phase,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{CaptureOutcome, CaptureRequest, Driver, StartedCapture, StorageBackend};
use tracing::warn;

use super::watch::{self, SCRATCH_RESERVE, Watched};
use crate::{
    copy,
    error::Halt,
    job::{Job, capture_id},
    step,
};

/// The scratch file is a qcow2, whatever the disk is: it stays as small as what the guest
/// overwrites.
const SCRATCH_FORMAT: &str = "qcow2";
/// No request makes a guest stay frozen for longer.
const LONGEST_FREEZE_MS: u32 = 10_000;
/// A quarter of the quota must be free before a capture begins; the rest is watched.
const FREE_SHARE: u64 = 4;

pub(super) async fn run(
    job: &Job,
    work: &CaptureWork,
    storage: Arc<dyn StorageBackend>,
) -> Result<CaptureResult, Halt> {
    let driver = job.driver().await?;
    let request = request(job, work);
    let virtual_size = plan(job, work, driver.as_ref(), &request).await?;
    make_scratch(job, &request, virtual_size).await?;
    job.control.check()?;
    job.control.phase(Phase::Snapshotting);
    job.note(step::SNAPSHOT, [("capture", request.capture_id.clone())]).await?;
    // Not interrupted by a cancellation: it is short, and what it began is taken down in one piece.
    let journal = job.shared_journal();
    let begin = driver.begin_capture(&request, &journal);
    let begun = watch::begin(&job.machine.settings, job.journal.watch(), begin).await?;
    job.note(step::SNAPSHOTTED, []).await?;
    let level = reached(work, &begun)?;
    let written = copy_out(job, work, storage, &begun, &request, driver.clone()).await?;
    take_down(job, driver.as_ref(), &request).await;
    Ok(CaptureResult {
        image: super::stored_image(work, &written, level)?,
        consistency: level,
        downgraded_because: begun.quiesce.downgrade_reason,
        method: begun.method,
        frozen_ms: begun.quiesce.frozen_total_ms,
        stopped_ms: begun.quiesce.vm_stopped_ms,
    })
}

fn request(job: &Job, work: &CaptureWork) -> CaptureRequest {
    CaptureRequest {
        vm_id: work.instance.id.to_string(),
        capture_id: capture_id(job.journal.header().assignment.task_id),
        want: work.want,
        minimum: work.minimum,
        scratch_path: job.scratch_file(),
        scratch_limit: work.scratch_limit.unwrap_or(work.instance.disk_size).bytes(),
        freeze_limit_ms: work.freeze_limit_ms.min(LONGEST_FREEZE_MS),
    }
}

/// The driver's gates, before anything is touched. Answers the disk's size.
async fn plan(
    job: &Job,
    work: &CaptureWork,
    driver: &dyn Driver,
    request: &CaptureRequest,
) -> Result<u64, Halt> {
    let plan = job.control.unless_stopped(driver.plan_capture(request)).await??;
    if plan.expected < request.minimum {
        return Err(not_reached(work, plan.expected, &plan.remarks.join("; ")));
    }
    Ok(plan.virtual_size)
}

async fn make_scratch(job: &Job, request: &CaptureRequest, virtual_size: u64) -> Result<(), Halt> {
    let format = job.machine.format(SCRATCH_FORMAT)?;
    let needed = (request.scratch_limit.min(virtual_size) / FREE_SHARE).saturating_add(SCRATCH_RESERVE);
    job.machine.require_room(&job.machine.folders.scratch(), needed)?;
    job.note(step::SCRATCH, [("path", request.scratch_path.display().to_string())]).await?;
    let name = request.scratch_path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = request.scratch_path.parent().unwrap_or(Path::new("/"));
    copy::write_empty(format.as_ref(), copy::local(folder, name)?, virtual_size).await
}

fn reached(work: &CaptureWork, begun: &StartedCapture) -> Result<Consistency, Halt> {
    let level = begun.quiesce.level;
    if level < work.minimum {
        let because = begun.quiesce.downgrade_reason.as_deref().unwrap_or("the driver does not say why");
        return Err(not_reached(work, level, because));
    }
    if begun.content != "raw" {
        return Err(Halt::failed(
            TaskErrorCode::DriverContent,
            "the driver serves something else than a plain disk; update the agent",
        ));
    }
    Ok(level)
}

fn not_reached(work: &CaptureWork, level: Consistency, because: &str) -> Halt {
    let context =
        TaskErrorContext { reached: Some(level), minimum: Some(work.minimum), ..TaskErrorContext::default() };
    Halt::Failed(TaskError::new(TaskErrorCode::ConsistencyNotReached, because).with(context))
}

/// Copies while the host watches the instance, the snapshot and the scratch file.
async fn copy_out(
    job: &Job,
    work: &CaptureWork,
    storage: Arc<dyn StorageBackend>,
    begun: &StartedCapture,
    request: &CaptureRequest,
    driver: Arc<dyn Driver>,
) -> Result<Written, Halt> {
    let cancel = job.control.child_token();
    let watched = Watched {
        driver,
        home: job.machine.home(work.instance.id),
        vm: request.vm_id.clone(),
        capture: request.capture_id.clone(),
        scratch: request.scratch_path.clone(),
        scratch_limit: request.scratch_limit,
    };
    let copying = async {
        let disk = copy::open_export(begun.source.clone(), cancel.clone()).await?;
        same_size(&disk, begun)?;
        super::store(job, work, storage.as_ref(), &disk, cancel.clone()).await
    };
    tokio::pin!(copying);
    let lost = tokio::select! {
        biased;
        done = &mut copying => return match done {
            Err(Halt::Failed(error)) => Err(deeper(&watched, error).await),
            Err(halt @ Halt::Stopped(_)) => Err(job.control.because(halt)),
            Ok(written) => Ok(written),
        },
        lost = watched.lost() => lost,
    };
    // The engine's threads end before anything is taken away from under them. Should the copy have
    // become visible in the same moment, it is whole: every byte of it was read and checked.
    cancel.cancel();
    match copying.await {
        Ok(written) => Ok(written),
        Err(Halt::Stopped(_)) => Err(job.control.check().err().unwrap_or(lost)),
        Err(Halt::Failed(error)) => {
            warn!(
                code = error.code(),
                detail = error.operator_detail(),
                "the copy failed together with the capture"
            );
            Err(lost)
        }
    }
}

/// A copy that fails for the capture's sake (a full scratch file, an instance that is gone) sees
/// only a broken export.
async fn deeper(watched: &Watched, error: TaskError) -> Halt {
    match watched.look().await {
        Ok(Some(reason)) => reason,
        Ok(None) | Err(_) => Halt::Failed(error),
    }
}

fn same_size(disk: &Disk, begun: &StartedCapture) -> Result<(), Halt> {
    if disk.size() == begun.virtual_size {
        return Ok(());
    }
    Err(Halt::failed(TaskErrorCode::DriverSize, "the hypervisor serves a disk of another size than it said"))
}

/// The image is stored; a capture that does not go down now is taken down in the background, and
/// fails nothing.
async fn take_down(job: &Job, driver: &dyn Driver, request: &CaptureRequest) {
    let ended = driver
        .end_capture(&request.vm_id, &request.capture_id, CaptureOutcome::Commit, &job.shared_journal())
        .await
        .map_err(Halt::from);
    let noted = match ended {
        Ok(()) => job.note(step::DOWN, []).await,
        Err(halt) => Err(halt),
    };
    if let Err(halt) = noted {
        warn!(vm = request.vm_id, ?halt, "the capture is not taken down yet");
    }
}
