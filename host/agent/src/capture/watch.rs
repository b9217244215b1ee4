//! What the host watches by itself while a driver and a copy are at a customer's instance.

use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};

use imprint_domain::{
    size::ByteSize,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{CaptureStatus, Driver, PortError, Power};
use tokio::{sync::watch, time::timeout};

use crate::{error::Halt, instance::Home, journal::Held, machine::free_space, settings::Settings};

/// Between two looks at a running capture.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The whole conversation that begins a capture, in all; a guest agent that does not answer costs
/// some of it.
const BEGIN: Duration = Duration::from_secs(90);
/// Looks that may fail one after another before the capture counts as lost.
const MAX_MISSES: u32 = 5;
/// Room that the scratch file must leave on its disk, in bytes.
pub(super) const SCRATCH_RESERVE: u64 = 32 * 1024 * 1024;

/// Lets a driver begin a capture, and takes the guest back from it when it holds it too long: the
/// caller then has the driver's recovery thaw and resume the guest, and a plugin that hangs cannot
/// prevent that.
pub(super) async fn begin<T>(
    settings: &Settings,
    mut held: watch::Receiver<Held>,
    work: impl Future<Output = Result<T, PortError>>,
) -> Result<T, Halt> {
    let too_long = async {
        loop {
            let now = *held.borrow_and_update();
            let limit = match now {
                Held { stopped: true, .. } => settings.stop_watchdog,
                Held { frozen: true, .. } => settings.freeze_watchdog,
                Held { frozen: false, stopped: false } => BEGIN,
            };
            match timeout(limit, held.changed()).await {
                Ok(Ok(())) => {}
                // The journal is gone only together with the work.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return now,
            }
        }
    };
    tokio::select! {
        biased;
        done = work => Ok(done?),
        now = too_long => Err(held_too_long(now)),
    }
}

fn gone() -> Halt {
    Halt::failed(
        TaskErrorCode::InstanceGone,
        "the instance went off while it was captured; capture it again, on or off",
    )
}

fn held_too_long(held: Held) -> Halt {
    match held {
        Held { stopped: true, .. } => Halt::failed(
            TaskErrorCode::StopWatchdog,
            "the guest's processors stood still for too long; they were resumed, and the capture was given up",
        ),
        Held { frozen: true, .. } => Halt::failed(
            TaskErrorCode::FreezeWatchdog,
            "the guest's file systems were frozen for too long; they were thawed, and the capture was given up",
        ),
        Held { frozen: false, stopped: false } => {
            Halt::failed(TaskErrorCode::DriverTimeout, "the hypervisor did not begin the capture in time")
        }
    }
}

/// What is watched while the bytes move.
pub(super) struct Watched {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) home: Home,
    pub(super) vm: String,
    pub(super) capture: String,
    pub(super) scratch: PathBuf,
    pub(super) scratch_limit: u64,
}

impl Watched {
    /// Ends when the capture is lost, with the reason.
    pub(super) async fn lost(&self) -> Halt {
        let mut misses = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.look().await {
                Ok(None) => misses = 0,
                Ok(Some(halt)) => return halt,
                Err(error) => {
                    misses += 1;
                    tracing::warn!(vm = self.vm, %error, misses, "cannot look at the capture");
                    if misses >= MAX_MISSES {
                        return error.into();
                    }
                }
            }
        }
    }

    /// Looks once: the host's own signs first, then the driver's word.
    pub(super) async fn look(&self) -> Result<Option<Halt>, PortError> {
        if self.home.process().is_none() {
            return Ok(Some(gone()));
        }
        if let Some(halt) = self.scratch_trouble() {
            return Ok(Some(halt));
        }
        let status = self.driver.capture_status(&self.vm, &self.capture).await?;
        Ok(self.trouble(&status))
    }

    fn trouble(&self, status: &CaptureStatus) -> Option<Halt> {
        if status.scratch_used > self.scratch_limit {
            return Some(self.quota());
        }
        if let Some(reason) = &status.broken {
            return Some(Halt::failed(
                TaskErrorCode::SnapshotBroken,
                format!("the point in time was lost: {reason}"),
            ));
        }
        match status.power {
            Power::Running | Power::Paused | Power::Unknown => None,
            Power::IoError => Some(Halt::failed(
                TaskErrorCode::InstanceIoError,
                "the instance was halted by a failed disk access; look at its hypervisor's disks",
            )),
            Power::Off => Some(gone()),
        }
    }

    /// The scratch file against its quota and its disk; counted in what it occupies.
    fn scratch_trouble(&self) -> Option<Halt> {
        let used = std::fs::metadata(&self.scratch).ok()?.blocks().saturating_mul(512);
        if used > self.scratch_limit {
            return Some(self.quota());
        }
        let free = free_space(self.scratch.parent()?).ok()?;
        (free < SCRATCH_RESERVE).then(|| {
            let detail =
                format!("the scratch file {} of the capture filled its disk", self.scratch.display());
            Halt::failed(TaskErrorCode::HypervisorStorageFull, detail)
        })
    }

    fn quota(&self) -> Halt {
        let context =
            TaskErrorContext { limit: ByteSize::new(self.scratch_limit).ok(), ..TaskErrorContext::default() };
        let detail =
            format!("the scratch file {} may hold {} bytes", self.scratch.display(), self.scratch_limit);
        Halt::Failed(TaskError::new(TaskErrorCode::ScratchFull, detail).with(context))
    }
}
