//! Failures of the storage of a customer that an import reads from.

use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::{ErrorClass, PortError};

use crate::error::JobError;

/// The cause of a failure: an address of a private network, which nothing permits.
const PRIVATE_NETWORK: &str = "net.private-network";

/// Returns the failure of a customer's storage. One that may pass is tried again.
pub(super) fn object_error(error: &PortError) -> JobError {
    if error.cause() == PRIVATE_NETWORK {
        return JobError::failed(TaskErrorCode::ImportAddress, &error.message);
    }
    match error.class {
        ErrorClass::Cancelled | ErrorClass::Transient => error.clone().into(),
        ErrorClass::Conflict => JobError::failed(TaskErrorCode::ImportSourceChanged, &error.message),
        ErrorClass::InvalidInput
        | ErrorClass::Unsupported
        | ErrorClass::NotFound
        | ErrorClass::AlreadyExists
        | ErrorClass::Denied
        | ErrorClass::Corrupt
        | ErrorClass::LimitExceeded
        | ErrorClass::Internal => JobError::failed(TaskErrorCode::ImportSource, &error.message),
    }
}
