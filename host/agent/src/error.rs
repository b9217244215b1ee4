//! The reasons why a job does not succeed.

use std::{fmt, io};

use imprint_domain::{
    size::ByteSize,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{ErrorClass, Origin, PortError};

/// The reason why a job is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The task is cancelled.
    Cancelled,
    /// The lease belongs to another agent process: the job is undone and not reported.
    LeaseLost,
    /// The task's deadline has passed.
    Deadline,
    /// The agent shuts down; the task is retried by another process.
    Stopping,
}

/// The reason why a job did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The job failed.
    #[error("{}: {}", .0.code(), .0.operator_detail())]
    Failed(TaskError),
    /// The job was asked to stop.
    #[error("stopped: {0:?}")]
    Stopped(StopReason),
}

impl JobError {
    /// Returns a failure with a code of the catalogue, which says whether it is retried. Only
    /// operators read the detail.
    pub(crate) fn failed(code: TaskErrorCode, detail: impl fmt::Display) -> Self {
        Self::Failed(TaskError::new(code, detail))
    }

    /// Returns the failure of a file operation; `doing` says which (`write the seed`).
    pub(crate) fn io(doing: &str, error: &io::Error) -> Self {
        let detail = format!("the agent could not {doing}: {error}");
        if is_no_space(error) {
            return Self::failed(TaskErrorCode::HypervisorStorageFull, detail);
        }
        Self::failed(TaskErrorCode::AgentIo, detail)
    }

    /// Returns the failure that a port reports. Only the host itself may use a code of the
    /// catalogue: those of plugins are names that their authors chose.
    pub(crate) fn reported(error: &PortError, detail: impl fmt::Display) -> Self {
        match (error.origin, TaskErrorCode::parse(&error.code)) {
            (Origin::Host, Some(code)) => Self::failed(code, detail),
            _ => {
                let transient = matches!(error.class, ErrorClass::Transient);
                let Some(setting) = error.setting() else {
                    return Self::Failed(TaskError::reported(error.cause(), transient, detail));
                };
                let detail = format!("{detail} (setting `{setting}`)");
                let context =
                    TaskErrorContext { setting: Some(setting.to_owned()), ..TaskErrorContext::default() };
                Self::Failed(TaskError::reported(error.cause(), transient, detail).with(context))
            }
        }
    }

    /// Returns the refusal of a place that has less room than is needed.
    pub(crate) fn no_room(code: TaskErrorCode, place: &str, free: u64, needed: u64) -> Self {
        let size = |bytes| ByteSize::new(bytes).ok();
        let context =
            TaskErrorContext { free: size(free), needed: size(needed), ..TaskErrorContext::default() };
        let detail = format!("{place} has {free} bytes free, and {needed} are needed");
        Self::Failed(TaskError::new(code, detail).with(context))
    }
}

/// Returns whether the disk or the quota is full.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<StopReason> for JobError {
    fn from(reason: StopReason) -> Self {
        Self::Stopped(reason)
    }
}

impl From<PortError> for JobError {
    fn from(error: PortError) -> Self {
        if error.cause().ends_with("no-space") {
            return Self::failed(TaskErrorCode::InsufficientStorage, error.message);
        }
        if error.cause().ends_with("consistency-not-reached") {
            return Self::failed(TaskErrorCode::ConsistencyNotReached, error.message);
        }
        Self::reported(&error, &error.message)
    }
}

/// The reason why one part of a clean-up failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanupError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error("the journal is damaged: {0}")]
    Journal(&'static str),
}
