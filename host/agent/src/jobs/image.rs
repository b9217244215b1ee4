//! Jobs on images alone: registering a stock image, and deleting an image's file.

use std::sync::Arc;

use imprint_agent_protocol::{
    DeleteImageAssignment, ImageResult, RegisterImageAssignment, VerifyImageAssignment,
};
use imprint_data_path::{DiskDigest, Progress, WriteOptions, digest};
use imprint_domain::{
    digest::InvalidDigest,
    image::StoredImage,
    size::{ByteSize, TooManyBytes},
    task::Phase,
    task_error::{TaskErrorCode, TaskErrorFamily},
};
use imprint_ports::{ErrorClass, StorageBackend};

use crate::{
    error::JobError,
    jobs::{
        copy::{self, Place},
        inside,
        job::Job,
    },
};

/// Reads a stock image through its declared format, and its file as it is, and returns the sizes
/// and both digests. Looks inside of its disk.
pub(crate) async fn register(
    job: &Job,
    assignment: &RegisterImageAssignment,
) -> Result<ImageResult, JobError> {
    let (result, disk) = read(job, assignment).await?;
    Ok(ImageResult { findings: inside::look(job, &disk).await, ..result })
}

/// Reads an image's disk and its file, and returns what they are with the open disk.
async fn read(
    job: &Job,
    assignment: &RegisterImageAssignment,
) -> Result<(ImageResult, Arc<imprint_data_path::Disk>), JobError> {
    job.control.phase(Phase::Preparing);
    let storage = job.machine.storage(&assignment.image.storage).await?.backend;
    let format = job.machine.format(assignment.image.format.as_str())?;
    let key = &assignment.image.key;
    let locator = storage.open_read(key).await?;
    let (disk, size) =
        copy::open_image(&job.machine, format.as_ref(), locator, job.control.child_token()).await?;
    let file = copy::open_stored(storage.open_read(key).await?, job.control.child_token()).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let virtual_size = disk.size();
    let logical = read_digest(job, &disk, &progress).await?;
    let stored = read_digest(job, &file, &progress).await?;
    let result = ImageResult {
        image: StoredImage {
            size: size_of(size)?,
            virtual_size: size_of(virtual_size)?,
            format: assignment.image.format,
            logical_digest: logical.to_string().parse().map_err(invalid_digest)?,
            stored_digest: stored.to_string().parse().map_err(invalid_digest)?,
            consistency: None,
        },
        findings: None,
    };
    Ok((result, disk))
}

/// Reads an image's file like [`register`], and compares its disk with the one that was stored.
/// Looks inside of it.
pub(crate) async fn verify(job: &Job, assignment: &VerifyImageAssignment) -> Result<ImageResult, JobError> {
    let image = &assignment.image;
    let storage = job.machine.storage(&image.storage).await?;
    match storage.backend.stat(&image.key).await {
        Ok(_) => {}
        Err(error) if error.class == ErrorClass::NotFound => {
            // A folder that went away has no files at all.
            storage.require_in_place().await?;
            let detail = format!("the storage has no object `{}`: {}", image.key, error.message);
            return Err(JobError::failed(TaskErrorCode::ImageFileMissing, detail));
        }
        Err(error) => return Err(error.into()),
    }
    let read = read(job, &RegisterImageAssignment { image: image.clone() }).await;
    let (found, disk) = read.map_err(|error| damaged(&image.key, error))?;
    if found.image.logical_digest == assignment.logical_digest {
        // An image of a time without inspectors is looked into as well.
        return Ok(ImageResult { findings: inside::look(job, &disk).await, ..found });
    }
    let detail = format!(
        "the disk in `{}` has the digest {}, and {} was stored",
        image.key, found.image.logical_digest, assignment.logical_digest
    );
    Err(JobError::failed(TaskErrorCode::ImageDamaged, detail))
}

/// Says that a stored file is damaged, where its content is what could not be read: it could when
/// it was stored.
fn damaged(key: &str, error: JobError) -> JobError {
    let JobError::Failed(failed) = &error else { return error };
    let of_content = matches!(
        TaskErrorFamily::of(failed.code()),
        TaskErrorFamily::Corrupt
            | TaskErrorFamily::Denied
            | TaskErrorFamily::Unsupported
            | TaskErrorFamily::Limit
    );
    if !of_content {
        return error;
    }
    let detail = format!("`{key}` cannot be read: {} ({})", failed.operator_detail(), failed.code());
    JobError::failed(TaskErrorCode::ImageDamaged, detail)
}

/// Reads all bytes of a disk and returns their digest.
pub(crate) async fn read_digest(
    job: &Job,
    disk: &Arc<imprint_data_path::Disk>,
    progress: &Arc<Progress>,
) -> Result<DiskDigest, JobError> {
    let options = WriteOptions {
        cancel: job.control.child_token(),
        progress: progress.clone(),
        ..WriteOptions::default()
    };
    digest(disk, &options)
        .await
        .map_err(|error| job.control.prefer_stop_reason(copy::job_error(error, Place::Storage)))
}

/// Removes an image's file, if it exists.
pub(crate) async fn delete(job: &Job, assignment: &DeleteImageAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Removing);
    let storage = job.machine.storage(&assignment.image.storage).await?.backend;
    Ok(storage.delete(&assignment.image.key).await?)
}

/// Refuses a storage with less free space than is needed (S100). A storage that does not report its
/// free space is accepted.
pub(crate) async fn require_room(storage: &dyn StorageBackend, needed: u64) -> Result<(), JobError> {
    match storage.space().await? {
        Some(space) if space.available < needed => Err(JobError::no_room(
            TaskErrorCode::InsufficientStorage,
            "the image storage",
            space.available,
            needed,
        )),
        Some(_) | None => Ok(()),
    }
}

/// Maps a digest that the domain does not accept, which would be a defect.
pub(crate) fn invalid_digest(error: InvalidDigest) -> JobError {
    JobError::failed(TaskErrorCode::Internal, error)
}

pub(crate) fn size_of(bytes: u64) -> Result<ByteSize, JobError> {
    ByteSize::new(bytes).map_err(|error: TooManyBytes| JobError::failed(TaskErrorCode::DiskTooLarge, error))
}
