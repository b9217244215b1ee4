//! Exports: the disk of an image, written as a file of another format to a storage of the product
//! or of the image's owner (S90, S135).
//!
//! The file of a storage of the product is an upload like that of a capture: an attempt that was
//! interrupted leaves what the storage has to the next one. The storage of an owner is opened with
//! secrets that only this task has; what is left there of an attempt is removed with it.

mod appliance;
mod destination;
mod file;
mod sink;

use std::sync::Arc;

use imprint_agent_protocol::{ExportImageAssignment, ExportResult};
use imprint_data_path::{Disk, DiskDigest, Progress};
use imprint_domain::{export::StoredExport, task::Phase, task_error::TaskErrorCode};
use imprint_ports::{WriteRequest, WriteTarget};
use tracing::warn;

pub(crate) use self::destination::clean_up;
use self::sink::Made;
use crate::{
    error::JobError,
    jobs::{
        copy,
        image::{invalid_digest, require_room, size_of},
        job::Job,
        peer::{self, ImageFile},
        publish::{Expected, publish},
        upload::JobUpload,
        watched::unless_gone,
    },
    machine::storages::Storage,
};

/// Writes the file, makes it visible, and returns what it is.
pub(crate) async fn run(job: &Job, assignment: &ExportImageAssignment) -> Result<ExportResult, JobError> {
    job.control.phase(Phase::Preparing);
    let from = peer::locate(job, &assignment.image, assignment.source.as_ref()).await?;
    let format = job.machine.format(assignment.image.format.as_str())?;
    let opened =
        copy::open_image(&job.machine, format.as_ref(), from.locator.clone(), job.control.child_token());
    let (disk, _) = opened.await?;
    let made = if assignment.is_destination {
        Box::pin(destination::write(job, assignment, (&from, &disk))).await?
    } else {
        Box::pin(to_storage(job, assignment, (&from, &disk))).await?
    };
    Ok(ExportResult {
        stored: StoredExport {
            size: size_of(made.size)?,
            digest: made.stored.to_string().parse().map_err(invalid_digest)?,
            sha256: made
                .sha256
                .unwrap_or_default()
                .parse()
                .map_err(|error| JobError::failed(TaskErrorCode::Internal, error))?,
        },
        logical_digest: made.logical.to_string().parse().map_err(invalid_digest)?,
    })
}

/// Returns what the upload of an export is.
fn request(assignment: &ExportImageAssignment, disk: u64) -> Result<WriteRequest, JobError> {
    let bound = assignment.form.largest(size_of(disk)?).bytes();
    // The data path writes in ascending order where a target cannot do otherwise.
    Ok(WriteRequest {
        key: assignment.key.clone(),
        upper_bound: Some(bound),
        needs_random: false,
        if_absent: false,
    })
}

async fn to_storage(
    job: &Job,
    assignment: &ExportImageAssignment,
    (from, disk): (&ImageFile, &Arc<Disk>),
) -> Result<Made, JobError> {
    let to = job.machine.storage(&assignment.to).await?;
    let request = request(assignment, disk.size())?;
    require_room(to.backend.as_ref(), request.upper_bound.unwrap_or(0)).await?;
    let place = (&assignment.to, &to);
    let mut upload = JobUpload::open(job, place, &request).await?;
    match transfer(job, assignment, (from, disk), &to, &mut upload).await {
        Err(error) if upload.is_stale(&error) => {
            warn!(key = request.key, %error, "what an interrupted export left is of no use; it starts anew");
            upload = upload.start_over(job, place, &request).await?;
            transfer(job, assignment, (from, disk), &to, &mut upload).await
        }
        made => made,
    }
}

/// Writes the file to an upload and publishes it.
async fn transfer(
    job: &Job,
    assignment: &ExportImageAssignment,
    (from, disk): (&ImageFile, &Arc<Disk>),
    to: &Storage,
    upload: &mut JobUpload,
) -> Result<Made, JobError> {
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel = job.control.child_token();
    let sink = upload.sink(job).await?;
    let is_file = matches!(upload.upload.target(), WriteTarget::File(_));
    let writing = file::write(job, assignment, disk, (sink, is_file), (progress, cancel.clone()));
    let gone = async {
        tokio::select! {
            error = from.until_silent() => error,
            error = to.until_moved() => error,
        }
    };
    let made = unless_gone(Box::pin(writing), gone, cancel).await;
    let mut made = made.map_err(|error| job.control.prefer_stop_reason(error))?;
    require_digest(assignment, made.logical)?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let expected = Expected { key: &assignment.key, size: made.size, digest: made.stored };
    to.require_in_place().await?;
    publish(job, to.backend.as_ref(), upload.upload.as_mut(), &expected).await?;
    // A folder that went away during the commit has taken the file with it.
    to.require_in_place().await?;
    if made.sha256.is_none() {
        made.sha256 = Some(file::sha256(job, to.backend.as_ref(), &assignment.key).await?);
    }
    Ok(made)
}

/// Refuses a disk that is not the one that was stored.
fn require_digest(assignment: &ExportImageAssignment, found: DiskDigest) -> Result<(), JobError> {
    let expected = assignment.logical_digest.as_str();
    if found.to_string() == expected {
        return Ok(());
    }
    let detail =
        format!("the disk in `{}` has the digest {found}, and {expected} was stored", assignment.image.key);
    Err(JobError::failed(TaskErrorCode::ImageDamaged, detail))
}
