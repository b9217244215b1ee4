//! What the writers of exports have in common: the sinks that they write to, and what was written.

use std::{io, sync::Arc};

use imprint_data_path::{DiskDigest, Hashed, HashingSink};
use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::PortError;

use crate::error::{JobError, is_no_space};

/// A file that was written.
pub(super) struct Made {
    pub(super) size: u64,
    /// The digest of the disk.
    pub(super) logical: DiskDigest,
    /// The digest of the file.
    pub(super) stored: DiskDigest,
    /// The SHA-256 of the file; `None` where it is not known before the file is read.
    pub(super) sha256: Option<String>,
}

/// Returns what went through a sink that nobody else uses any more.
pub(super) fn finish(sink: Arc<HashingSink>) -> Result<Hashed, JobError> {
    let sink = Arc::into_inner(sink);
    let sink = sink.ok_or_else(|| JobError::failed(TaskErrorCode::Internal, "a sink is still in use"))?;
    Ok(sink.finish())
}

/// Returns the failure of a sink.
pub(super) fn write_error(error: &io::Error) -> JobError {
    if let Some(port) = PortError::of(error) {
        return port.clone().into();
    }
    if is_no_space(error) {
        return JobError::failed(TaskErrorCode::InsufficientStorage, error);
    }
    JobError::failed(TaskErrorCode::AgentIo, format!("the export cannot be written: {error}"))
}
