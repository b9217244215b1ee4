//! How a call through a port fails.

use std::{fmt, io};

/// The kind of a failure, which decides what the caller does next (`types.error-class` in WIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request itself is wrong.
    InvalidInput,
    /// The request is valid, but this plugin or host cannot carry it out.
    Unsupported,
    /// The object of the request does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The request is outside of what was granted.
    Denied,
    /// The current state forbids the request.
    Conflict,
    /// Stored bytes contradict themselves.
    Corrupt,
    /// A documented limit was reached.
    LimitExceeded,
    /// The request may succeed when it is repeated.
    Transient,
    /// The call was cancelled.
    Cancelled,
    /// A defect in the plugin or the host.
    Internal,
}

/// How a call into a plugin ended when it did not return an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin returned an error of its own.
    Plugin,
    /// The plugin trapped (panic, memory limit); its store is gone.
    Trap,
    /// The limit on processor time or elapsed time was reached.
    Timeout,
    /// The plugin used a capability that it was not granted.
    Denied,
    /// The plugin returned an answer that breaks the contract.
    BadAnswer,
    /// The host itself failed (I/O and the like).
    Host,
}

/// The failure of a call through a port.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Which side failed, and how.
    pub origin: Origin,
    /// The kind of the failure, for deciding what to do next.
    pub class: ErrorClass,
    /// The dotted code for programs, such as `qcow2.table`, `plugin.trap`, `storage.no-space`.
    pub code: String,
    /// The human-readable description: what is wrong and what to do about it.
    pub message: String,
    /// With [`ErrorClass::Transient`], the shortest time to wait before the next attempt, in
    /// milliseconds.
    pub retry_after_ms: Option<u32>,
}

/// What stands between the cause and the setting in a code that names both.
const SETTING: &str = ".setting.";

impl PortError {
    /// Returns the same failure, about that setting or secret of the operator. By convention the
    /// code says so: it ends in `.setting.NAME`, as in `s3.no-such-bucket.setting.bucket`.
    #[must_use]
    pub fn about_setting(mut self, name: &str) -> Self {
        self.code = format!("{}{SETTING}{name}", self.cause());
        self
    }

    /// Returns the setting that the failure is about, where its code names one.
    pub fn setting(&self) -> Option<&str> {
        self.code.rsplit_once(SETTING).map(|(_, name)| name).filter(|name| !name.is_empty())
    }

    /// Returns the code without the setting that it names.
    pub fn cause(&self) -> &str {
        self.code.split_once(SETTING).map_or(self.code.as_str(), |(cause, _)| cause)
    }

    /// Returns a failure of the host itself.
    pub fn host(class: ErrorClass, code: &str, message: impl fmt::Display) -> Self {
        Self {
            origin: Origin::Host,
            class,
            code: code.to_owned(),
            message: message.to_string(),
            retry_after_ms: None,
        }
    }

    /// Returns the failure of a call that was cancelled.
    pub fn cancelled() -> Self {
        Self::host(ErrorClass::Cancelled, "cancelled", "cancelled")
    }

    /// Returns the port's failure inside an error of a source or a sink, if that is its cause.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns the failure for an answer that breaks the contract; `code` names the rule.
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

/// For the sources and sinks behind a port, whose calls fail with [`io::Error`].
impl From<PortError> for io::Error {
    fn from(error: PortError) -> Self {
        let full = error.class == ErrorClass::LimitExceeded && error.code.ends_with("no-space");
        Self::new(if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other }, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_name_the_setting_behind_its_cause() {
        let plain = PortError::host(ErrorClass::NotFound, "s3.no-such-bucket", "x");
        assert_eq!((plain.cause(), plain.setting()), ("s3.no-such-bucket", None));
        let named = plain.about_setting("bucket");
        assert_eq!(named.code, "s3.no-such-bucket.setting.bucket");
        assert_eq!((named.cause(), named.setting()), ("s3.no-such-bucket", Some("bucket")));
        assert_eq!(named.about_setting("region").code, "s3.no-such-bucket.setting.region");
    }
}
