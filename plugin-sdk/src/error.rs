//! Failures as the host sees them.

use std::fmt;

/// Decides what the host does with a failure (`types.error-class` in WIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request itself is wrong.
    InvalidInput,
    /// Right, but this plugin cannot do it.
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
    /// A defect.
    Internal,
}

/// A failure with a class for the host, a code for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the host may do about it.
    pub class: ErrorClass,
    /// Dotted and stable: `qcow2.table`, `qemu.monitor-busy`.
    pub code: String,
    /// What is wrong and what to do about it: a lowercase fragment.
    pub message: String,
    /// With [`ErrorClass::Transient`]: the host waits at least this long, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

/// What plugin functions answer.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// An error of any class.
    pub fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), message: message.into(), retry_after_ms: None }
    }

    /// The request itself is wrong.
    pub fn invalid_input(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::InvalidInput, code, message)
    }

    /// Right, but this plugin cannot do it.
    pub fn unsupported(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unsupported, code, message)
    }

    /// The thing asked for does not exist.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, code, message)
    }

    /// The name is taken.
    pub fn already_exists(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::AlreadyExists, code, message)
    }

    /// Not granted.
    pub fn denied(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Denied, code, message)
    }

    /// The present state forbids it.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, code, message)
    }

    /// Stored bytes contradict themselves.
    pub fn corrupt(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Corrupt, code, message)
    }

    /// A written-down bound was hit.
    pub fn limit(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::LimitExceeded, code, message)
    }

    /// May succeed when tried again.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, code, message)
    }

    /// May succeed when tried again after `retry_after_ms` milliseconds.
    pub fn transient_after(code: &str, message: impl Into<String>, retry_after_ms: u32) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::transient(code, message) }
    }

    /// Somebody asked to stop.
    pub fn cancelled(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Cancelled, code, message)
    }

    /// A defect in the plugin.
    pub fn internal(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, code, message)
    }

    /// The same error with `context` in front of the message.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}
