//! How a piece of work ends early, and what the control plane is told about it.

use std::{fmt, io};

use imprint_data_path::ports::{ErrorClass, PortError};
use imprint_domain::{error::Code, task::TaskError};

/// Why work is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody asked.
    Cancelled,
    /// The lease is somebody else's by now: undo, and do not report.
    LeaseLost,
    /// The task's deadline has passed.
    Deadline,
    /// The agent shuts down; another process tries again.
    Stopping,
}

/// Why a piece of work did not succeed.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed.
    Failed(TaskError),
    /// It was asked to stop.
    Stopped(StopReason),
}

impl Halt {
    /// A failure that trying again does not help.
    pub(crate) fn failed(code: &str, detail: impl fmt::Display) -> Self {
        Self::Failed(TaskError { code: code.to_owned(), detail: detail.to_string(), retryable: false })
    }

    /// A failure that may be gone by the next attempt.
    pub(crate) fn transient(code: &str, detail: impl fmt::Display) -> Self {
        Self::Failed(TaskError { code: code.to_owned(), detail: detail.to_string(), retryable: true })
    }

    /// No room; `place` says where.
    pub(crate) fn no_space(place: impl fmt::Display) -> Self {
        Self::failed(
            Code::InsufficientStorage.as_str(),
            format!("insufficient storage space on {place}; free some room there and try again"),
        )
    }

    /// A failed file operation; `doing` says which (`write the seed`).
    pub(crate) fn io(doing: &str, error: &io::Error) -> Self {
        if is_no_space(error) {
            return Self::no_space(format_args!("the hypervisor's disk (could not {doing})"));
        }
        Self::transient("agent.io", format!("the agent could not {doing}: {error}"))
    }
}

/// Whether the disk, or the quota, is full.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<StopReason> for Halt {
    fn from(reason: StopReason) -> Self {
        Self::Stopped(reason)
    }
}

impl From<PortError> for Halt {
    fn from(error: PortError) -> Self {
        if error.code.ends_with("no-space") {
            return Self::no_space("the image storage backend");
        }
        if error.code.ends_with("consistency-not-reached") {
            return Self::failed(CONSISTENCY_NOT_REACHED, error.message);
        }
        Self::Failed(TaskError {
            code: error.code,
            detail: error.message,
            retryable: matches!(error.class, ErrorClass::Transient),
        })
    }
}

/// The guest could not be quiesced as far as the request demands.
pub(crate) const CONSISTENCY_NOT_REACHED: &str = "consistency_not_reached";
