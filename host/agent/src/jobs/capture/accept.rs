//! The look inside of a disk before it is copied (X5): what is found decides about Windows, as its
//! owner's declaration does when the image is asked for.

use std::sync::Arc;

use imprint_agent_protocol::{CaptureAssignment, WindowsLimit};
use imprint_data_path::Disk;
use imprint_domain::{
    findings::DiskFindings,
    task_error::TaskErrorCode,
    windows::{HighWater, WindowsBounds, WindowsFacts},
};

use crate::{
    error::JobError,
    jobs::{image::size_of, inside, job::Job},
};

/// Looks inside of the disk, and refuses what no usable image can be created of (S33, S35).
pub(super) async fn accept(
    job: &Job,
    assignment: &CaptureAssignment,
    disk: &Arc<Disk>,
) -> Result<Option<DiskFindings>, JobError> {
    let found = inside::look(job, disk).await;
    job.control.check()?;
    if let (Some(found), Some(windows)) = (&found, assignment.windows) {
        check(found, disk.size(), windows)?;
    }
    Ok(found)
}

fn check(found: &DiskFindings, size: u64, windows: WindowsLimit) -> Result<(), JobError> {
    let facts = WindowsFacts {
        os: found.declared_os(),
        largest: HighWater { content: windows.largest, size: size_of(size)? },
        bounds: WindowsBounds { limit: windows.limit, warning: windows.limit },
        domain_controller: found.domain_controller.answer(),
    };
    facts.check().map_err(|error| JobError::failed(TaskErrorCode::from(error.code), error.detail))
}
