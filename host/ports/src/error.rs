//! How a call through a port fails.

use std::{fmt, io};

/// What kind of failure a port reports; decides what the caller does next (`types.error-class` in
/// WIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request itself is wrong.
    InvalidInput,
    /// Right, but this plugin or host cannot do it.
    Unsupported,
    /// The thing asked for does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Not granted.
    Denied,
    /// The present state forbids it.
    Conflict,
    /// Stored bytes contradict themselves.
    Corrupt,
    /// A written-down bound was hit.
    LimitExceeded,
    /// May succeed when tried again.
    Transient,
    /// Somebody asked to stop.
    Cancelled,
    /// A defect in the plugin or the host.
    Internal,
}

/// How a call into a plugin ended, when it did not end with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin answered with an error of its own.
    Plugin,
    /// The plugin trapped (panic, memory limit); its store is gone.
    Trap,
    /// CPU or wall time ran out.
    Timeout,
    /// The plugin asked for what it was not granted.
    Denied,
    /// The plugin answered, and the answer breaks the contract.
    BadAnswer,
    /// The host itself failed (I/O and the like).
    Host,
}

/// The failed read or write of a source or sink behind a port.
impl From<PortError> for io::Error {
    fn from(error: PortError) -> Self {
        let full = error.class == ErrorClass::LimitExceeded && error.code.ends_with("no-space");
        Self::new(if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other }, error)
    }
}

/// Failure of a port call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Who failed, and how.
    pub origin: Origin,
    /// What the caller may do about it.
    pub class: ErrorClass,
    /// Dotted code for programs, such as `qcow2.table`, `plugin.trap`, `storage.no-space`.
    pub code: String,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// With [`ErrorClass::Transient`]: wait at least this long, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

impl PortError {
    /// A failure of the host itself.
    pub fn host(class: ErrorClass, code: &str, message: impl fmt::Display) -> Self {
        Self {
            origin: Origin::Host,
            class,
            code: code.to_owned(),
            message: message.to_string(),
            retry_after_ms: None,
        }
    }

    /// Somebody asked to stop while the plugin was at work.
    pub fn cancelled() -> Self {
        Self::host(ErrorClass::Cancelled, "cancelled", "cancelled")
    }

    /// Inside of the error of a source or a sink.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The plugin's answer breaks the contract; `code` names the rule.
    pub fn bad_answer(code: &str, message: impl fmt::Display) -> Self {
        Self {
            origin: Origin::BadAnswer,
            class: ErrorClass::Internal,
            code: code.to_owned(),
            message: message.to_string(),
            retry_after_ms: None,
        }
    }
}
