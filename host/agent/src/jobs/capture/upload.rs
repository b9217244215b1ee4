//! Writing a disk to the image storage, and publishing it as an image.

use std::sync::Arc;

use imprint_agent_protocol::CaptureAssignment;
use imprint_data_path::{Disk, Progress, Written};
use imprint_domain::{consistency::Consistency, findings::DiskFindings, image::StoredImage, task::Phase};
use imprint_ports::{DiskFormat, WriteRequest};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::accept::accept;
use crate::{
    error::{JobError, StopReason},
    jobs::{
        copy::{self, Request, Target},
        image::{invalid_digest, size_of},
        job::Job,
        publish::{Expected, publish},
        upload::JobUpload,
        watched::unless_gone,
    },
    machine::storages::Storage,
};

/// The space that an image needs beyond its own bytes: for tables, and for other uploads.
pub(super) const RESERVED_BYTES: u64 = 16 * 1024 * 1024;

/// Copies a disk to the storage and makes the image visible.
async fn upload(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: &Storage,
    disk: &Arc<Disk>,
    cancel: CancellationToken,
) -> Result<Written, JobError> {
    let format = job.machine.format(assignment.image.format.as_str())?;
    // The data path writes in ascending order where a target cannot do otherwise.
    let request = WriteRequest {
        key: assignment.image.key.clone(),
        upper_bound: Some(largest_file(disk.size())),
        needs_random: false,
        if_absent: false,
    };
    let place = &assignment.image.storage;
    let mut upload = JobUpload::open(job, (place, storage), &request).await?;
    match transfer(job, assignment, storage, disk, (format.as_ref(), &mut upload), &cancel).await {
        Err(error) if upload.is_stale(&error) => {
            warn!(key = request.key, %error, "what an interrupted upload left is of no use; it starts anew");
            upload = upload.start_over(job, (place, storage), &request).await?;
            transfer(job, assignment, storage, disk, (format.as_ref(), &mut upload), &cancel).await
        }
        written => written,
    }
}

/// Writes the disk and publishes it.
async fn transfer(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: &Storage,
    disk: &Arc<Disk>,
    (format, upload): (&dyn DiskFormat, &mut JobUpload),
    cancel: &CancellationToken,
) -> Result<Written, JobError> {
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel_copy = cancel.child_token();
    let writing = copy::write(Request {
        disk,
        format,
        target: Target::Upload(upload.upload.target().clone(), Some(upload.parts())),
        compression: assignment.compression,
        grow_to: None,
        progress,
        cancel: cancel_copy.clone(),
    });
    // On the heap: the future of a copy is large, and this one holds it across a second wait.
    let written = unless_gone(Box::pin(writing), storage.until_moved(), cancel_copy).await;
    let written = written.map_err(|error| job.control.prefer_stop_reason(error))?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    if cancel.is_cancelled() {
        return Err(JobError::Stopped(StopReason::Cancelled));
    }
    let expected = Expected { key: &assignment.image.key, size: written.file_size, digest: written.stored };
    storage.require_in_place().await?;
    publish(job, storage.backend.as_ref(), upload.upload.as_mut(), &expected).await?;
    // A folder that went away during the commit has taken the image with it.
    storage.require_in_place().await?;
    Ok(written)
}

/// Returns the size in bytes that the file of an image cannot exceed: units that do not become
/// smaller are stored as they are, and the tables of qcow2 with its clusters of 64 KiB are less
/// than a 4096th of the disk.
fn largest_file(disk: u64) -> u64 {
    disk.saturating_add(disk / 4096).saturating_add(RESERVED_BYTES)
}

/// What a capture has written, and what was found on the disk.
pub(super) struct Captured {
    pub(super) written: Written,
    pub(super) findings: Option<DiskFindings>,
}

/// Looks inside of a disk, copies it to the storage, and makes the image visible.
pub(super) async fn capture(
    job: &Job,
    assignment: &CaptureAssignment,
    storage: &Storage,
    disk: &Arc<Disk>,
    cancel: CancellationToken,
) -> Result<Captured, JobError> {
    let findings = accept(job, assignment, disk).await?;
    let written = upload(job, assignment, storage, disk, cancel).await?;
    Ok(Captured { written, findings })
}

/// Returns what the control plane stores about the image.
pub(super) fn stored_image(
    assignment: &CaptureAssignment,
    written: &Written,
    level: Consistency,
) -> Result<StoredImage, JobError> {
    Ok(StoredImage {
        size: size_of(written.file_size)?,
        virtual_size: size_of(written.virtual_size)?,
        format: assignment.image.format,
        logical_digest: written.logical.to_string().parse().map_err(invalid_digest)?,
        stored_digest: written.stored.to_string().parse().map_err(invalid_digest)?,
        consistency: Some(level),
    })
}
