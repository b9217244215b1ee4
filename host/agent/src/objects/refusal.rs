//! Why the object server refuses a request.

use hyper::{HeaderMap, StatusCode, header::HeaderName};
use imprint_ports::{ErrorClass, PortError};

use crate::error::JobError;

/// Why a request is refused.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl std::fmt::Display) -> Self {
        Self { status, code: code.to_owned(), detail: detail.to_string() }
    }

    pub(super) fn forbidden(code: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        let status = match error.class {
            ErrorClass::NotFound => StatusCode::NOT_FOUND,
            ErrorClass::Transient | ErrorClass::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            ErrorClass::InvalidInput
            | ErrorClass::Unsupported
            | ErrorClass::AlreadyExists
            | ErrorClass::Denied
            | ErrorClass::Conflict
            | ErrorClass::Corrupt
            | ErrorClass::LimitExceeded
            | ErrorClass::Internal => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error.cause(), &error.message)
    }
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Failed(failed) => {
                Self::new(StatusCode::BAD_GATEWAY, failed.code(), failed.operator_detail())
            }
            stopped @ JobError::Stopped(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "object.stopped", stopped)
            }
        }
    }
}

/// Returns the text of a head field, where it is there and is text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
