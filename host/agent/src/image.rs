//! Work on images alone: taking a stock image into service, removing an image's file, checking for
//! room.

use std::sync::Arc;

use imprint_agent_protocol::{AdoptWork, DeleteImageWork, ImageResult};
use imprint_data_path::{DiskDigest, Progress, WriteOptions, digest};
use imprint_domain::{
    digest::InvalidDigest,
    image::StoredImage,
    size::{ByteSize, TooManyBytes},
    task::Phase,
    task_error::TaskErrorCode,
};
use imprint_ports::StorageBackend;

use crate::{
    copy::{self, Place},
    error::Halt,
    job::Job,
};

/// Reads a stock image through its declared format, and its file as it is: sizes and both digests.
pub(crate) async fn adopt(job: &Job, work: &AdoptWork) -> Result<ImageResult, Halt> {
    job.control.phase(Phase::Preparing);
    let storage = job.machine.storage(&work.image.storage).await?;
    let format = job.machine.format(work.image.format.as_str())?;
    let key = &work.image.key;
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
    Ok(ImageResult {
        image: StoredImage {
            size: size_of(size)?,
            virtual_size: size_of(virtual_size)?,
            format: work.image.format,
            logical_digest: logical.to_string().parse().map_err(invalid_digest)?,
            stored_digest: stored.to_string().parse().map_err(invalid_digest)?,
            consistency: None,
        },
    })
}

async fn read_digest(
    job: &Job,
    disk: &Arc<imprint_data_path::Disk>,
    progress: &Arc<Progress>,
) -> Result<DiskDigest, Halt> {
    let options = WriteOptions {
        cancel: job.control.child_token(),
        progress: progress.clone(),
        ..WriteOptions::default()
    };
    digest(disk, &options).await.map_err(|error| job.control.because(copy::halt(error, Place::Storage)))
}

/// Removes an image's file; one that is not there is fine.
pub(crate) async fn delete(job: &Job, work: &DeleteImageWork) -> Result<(), Halt> {
    job.control.phase(Phase::Removing);
    let storage = job.machine.storage(&work.image.storage).await?;
    Ok(storage.delete(&work.image.key).await?)
}

/// Refuses a storage that has less room than that (S100). One that knows nothing of room is
/// believed to have enough.
pub(crate) async fn require_room(storage: &dyn StorageBackend, needed: u64) -> Result<(), Halt> {
    match storage.space().await? {
        Some(space) if space.available < needed => Err(Halt::no_room(
            TaskErrorCode::InsufficientStorage,
            "the image storage",
            space.available,
            needed,
        )),
        Some(_) | None => Ok(()),
    }
}

/// Maps a digest that the domain does not accept, which would be a defect.
pub(crate) fn invalid_digest(error: InvalidDigest) -> Halt {
    Halt::failed(TaskErrorCode::Internal, error)
}

pub(crate) fn size_of(bytes: u64) -> Result<ByteSize, Halt> {
    ByteSize::new(bytes).map_err(|error: TooManyBytes| Halt::failed(TaskErrorCode::DiskTooLarge, error))
}
