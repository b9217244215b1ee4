//! The watchdogs of a capture: the agent itself monitors the guest while a driver and a copy use
//! it.

use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};

use imprint_domain::{
    size::ByteSize,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{CaptureStatus, Driver, PortError, Power};
use tokio::{sync::watch, time::timeout};

use crate::{
    error::JobError,
    journal::GuestHold,
    machine::{free_space, instance::InstanceDir},
    settings::Settings,
};

/// The time between two checks of a running capture.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time for all calls that start a capture, including a guest agent that does not answer.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(90);
/// The number of checks in a row that may fail before the capture counts as lost.
const MAX_FAILED_CHECKS: u32 = 5;
/// The space that the scratch file must leave free on its disk, in bytes.
pub(super) const SCRATCH_RESERVED_BYTES: u64 = 32 * 1024 * 1024;

/// Lets a driver start a capture, and gives up when it holds the guest for too long: the clean-up
/// then calls the driver's recovery, which thaws and resumes the guest, so that a plugin that hangs
/// cannot prevent it.
pub(super) async fn begin<T>(
    settings: &Settings,
    mut held: watch::Receiver<GuestHold>,
    starting: impl Future<Output = Result<T, PortError>>,
) -> Result<T, JobError> {
    let too_long = async {
        loop {
            let now = *held.borrow_and_update();
            let limit = match now {
                GuestHold { stopped: true, .. } => settings.stop_watchdog,
                GuestHold { frozen: true, .. } => settings.freeze_watchdog,
                GuestHold { frozen: false, stopped: false } => BEGIN_TIMEOUT,
            };
            match timeout(limit, held.changed()).await {
                Ok(Ok(())) => {}
                // The sender is part of the journal, which exists as long as the job.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return now,
            }
        }
    };
    tokio::select! {
        biased;
        done = starting => Ok(done?),
        now = too_long => Err(watchdog_error(now)),
    }
}

fn instance_gone() -> JobError {
    JobError::failed(TaskErrorCode::InstanceGone, "the instance's process ended during the capture")
}

fn watchdog_error(held: GuestHold) -> JobError {
    match held {
        GuestHold { stopped: true, .. } => JobError::failed(
            TaskErrorCode::StopWatchdog,
            "the guest's processors stood still for too long; they were resumed, and the capture was given up",
        ),
        GuestHold { frozen: true, .. } => JobError::failed(
            TaskErrorCode::FreezeWatchdog,
            "the guest's file systems were frozen for too long; they were thawed, and the capture was given up",
        ),
        GuestHold { frozen: false, stopped: false } => {
            JobError::failed(TaskErrorCode::DriverTimeout, "the hypervisor did not begin the capture in time")
        }
    }
}

/// What is monitored during the copy.
pub(super) struct CaptureMonitor {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) dir: InstanceDir,
    pub(super) vm: String,
    pub(super) capture: String,
    pub(super) scratch: PathBuf,
    pub(super) scratch_limit: u64,
}

impl CaptureMonitor {
    /// Waits until the capture is lost, and returns the reason.
    pub(super) async fn wait_until_lost(&self) -> JobError {
        let mut failed_checks = 0;
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            match self.check().await {
                Ok(None) => failed_checks = 0,
                Ok(Some(error)) => return error,
                Err(error) => {
                    failed_checks += 1;
                    tracing::warn!(vm = self.vm, %error, failed_checks, "cannot check the capture");
                    if failed_checks >= MAX_FAILED_CHECKS {
                        return error.into();
                    }
                }
            }
        }
    }

    /// Checks the capture once: first what the agent sees itself, then what the driver reports.
    /// Returns the reason why the capture is lost, if it is.
    pub(super) async fn check(&self) -> Result<Option<JobError>, PortError> {
        if self.dir.process().is_none() {
            return Ok(Some(instance_gone()));
        }
        if let Some(error) = self.scratch_failure() {
            return Ok(Some(error));
        }
        let status = self.driver.capture_status(&self.vm, &self.capture).await?;
        Ok(self.failure_in(&status))
    }

    fn failure_in(&self, status: &CaptureStatus) -> Option<JobError> {
        if status.scratch_used > self.scratch_limit {
            return Some(self.scratch_full());
        }
        if let Some(reason) = &status.broken {
            return Some(JobError::failed(
                TaskErrorCode::SnapshotBroken,
                format!("the point in time was lost: {reason}"),
            ));
        }
        match status.power {
            Power::Running | Power::Paused | Power::Unknown => None,
            Power::IoError => Some(JobError::failed(
                TaskErrorCode::InstanceIoError,
                "the instance was halted by a failed disk access",
            )),
            Power::Off => Some(instance_gone()),
        }
    }

    /// Compares the space that the scratch file occupies with its limit and its disk.
    fn scratch_failure(&self) -> Option<JobError> {
        let used = std::fs::metadata(&self.scratch).ok()?.blocks().saturating_mul(512);
        if used > self.scratch_limit {
            return Some(self.scratch_full());
        }
        let free = free_space(self.scratch.parent()?).ok()?;
        (free < SCRATCH_RESERVED_BYTES).then(|| {
            let detail =
                format!("the scratch file {} of the capture filled its disk", self.scratch.display());
            JobError::failed(TaskErrorCode::HypervisorStorageFull, detail)
        })
    }

    fn scratch_full(&self) -> JobError {
        let context =
            TaskErrorContext { limit: ByteSize::new(self.scratch_limit).ok(), ..TaskErrorContext::default() };
        let detail =
            format!("the scratch file {} may hold {} bytes", self.scratch.display(), self.scratch_limit);
        JobError::Failed(TaskError::new(TaskErrorCode::ScratchFull, detail).with(context))
    }
}
