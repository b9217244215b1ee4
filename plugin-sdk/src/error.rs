//! Failures as the host sees them.

use std::fmt;

/// Decides what the host does with a failure (`types.error-class` in WIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request itself is wrong.
    InvalidInput,
    /// The request is right, but this plugin cannot do it.
    Unsupported,
    /// The thing that was asked for does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Not granted.
    Denied,
    /// It is not allowed in the current state.
    Conflict,
    /// Stored bytes contradict themselves.
    Corrupt,
    /// A documented bound was exceeded.
    LimitExceeded,
    /// It may succeed when it is tried again.
    Transient,
    /// The task was cancelled.
    Cancelled,
    /// A defect.
    Internal,
}

/// A failure with a class for the host, a code for programs and a human-readable message.
///
/// ```
/// use imprint_plugin_sdk::error::{Error, ErrorClass};
///
/// let error = Error::transient_after("qemu.monitor-busy", "another client uses the monitor", 500);
/// assert_eq!((error.class, error.retry_after_ms), (ErrorClass::Transient, Some(500)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the host does about it.
    pub class: ErrorClass,
    /// Dotted and stable: `qcow2.table`, `qemu.monitor-busy`.
    pub code: String,
    /// What is wrong and what to do about it: a lowercase fragment.
    pub message: String,
    /// With [`ErrorClass::Transient`]: the host waits at least this long, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

/// What plugin functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Returns an error of any class.
    pub fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), message: message.into(), retry_after_ms: None }
    }

    /// Returns an error: the request itself is wrong.
    pub fn invalid_input(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::InvalidInput, code, message)
    }

    /// Returns an error: the request is right, but this plugin cannot do it.
    pub fn unsupported(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unsupported, code, message)
    }

    /// Returns an error: the thing that was asked for does not exist.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, code, message)
    }

    /// Returns an error: the name is taken.
    pub fn already_exists(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::AlreadyExists, code, message)
    }

    /// Returns an error: it is not granted.
    pub fn denied(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Denied, code, message)
    }

    /// Returns an error: it is not allowed in the current state.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, code, message)
    }

    /// Returns an error: stored bytes contradict themselves.
    pub fn corrupt(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Corrupt, code, message)
    }

    /// Returns an error: a documented bound was exceeded.
    pub fn limit(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::LimitExceeded, code, message)
    }

    /// Returns an error: it may succeed when it is tried again.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, code, message)
    }

    /// Returns an error: it may succeed when it is tried again after `retry_after_ms` milliseconds.
    pub fn transient_after(code: &str, message: impl Into<String>, retry_after_ms: u32) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::transient(code, message) }
    }

    /// Returns an error: the task was cancelled.
    pub fn cancelled(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Cancelled, code, message)
    }

    /// Returns an error: a defect of the plugin.
    pub fn internal(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, code, message)
    }

    /// Returns the same error, about that setting or secret of the operator: the code ends in
    /// `.setting.NAME`, and the host shows the name where the setting is entered.
    ///
    /// ```
    /// use imprint_plugin_sdk::error::Error;
    ///
    /// let error = Error::not_found("s3.no-such-bucket", "there is no such bucket").about_setting("bucket");
    /// assert_eq!(error.code, "s3.no-such-bucket.setting.bucket");
    /// ```
    #[must_use]
    pub fn about_setting(mut self, name: &str) -> Self {
        self.code = format!("{}.setting.{name}", self.code);
        self
    }

    /// Returns the same error with `context` in front of the message.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}
