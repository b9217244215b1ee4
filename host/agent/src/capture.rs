//! Capturing the primary disk of an instance.
//!
//! ```text
//!                running                              stopped
//! gates (plan), room on storage and scratch disk      power off, lock on the disk's file
//! scratch file, freeze, point in time, thaw           map of the file
//!       \________________________ _______________________/
//!                                V
//!      upload (token journalled) -> copy -> commit -> take down -> result
//! ```
//!
//! The journal has a note before every step. Whatever goes wrong, [`crate::job::settle`] undoes it.

mod running;
mod stopped;
mod watch;

use std::sync::Arc;

use imprint_agent_protocol::{CaptureResult, CaptureWork};
use imprint_data_path::{Disk, DiskDigest, Progress, Written};
use imprint_domain::{consistency::Consistency, image::StoredImage, task::Phase};
use imprint_ports::{StorageBackend, WriteRequest};
use tokio_util::sync::CancellationToken;

use crate::{
    copy::{self, Request, Target},
    error::Halt,
    image::{self, invalid_digest, size_of},
    instance::{allocated, disk_file},
    job::{Job, to_hex},
    step,
};

/// Room beyond the image's own bytes: tables, and other uploads' slack.
const RESERVE: u64 = 16 * 1024 * 1024;

/// Captures the instance as it is: running or stopped.
pub(crate) async fn run(job: &Job, work: &CaptureWork) -> Result<CaptureResult, Halt> {
    job.control.phase(Phase::Preparing);
    let home = job.machine.home(work.instance.id);
    job.machine.require_recovered(work.instance.id)?;
    home.definition()?;
    let storage = job.machine.storage(&work.image.storage).await?;
    let stored = allocated(&home.file(&disk_file(work.instance.disk_format.as_str())))
        .map_err(|error| Halt::io("look at the instance's disk", &error))?;
    // What the disk occupies bounds what its image takes: better to refuse now than in the middle
    // (S100).
    image::require_room(storage.as_ref(), stored.bytes().saturating_add(RESERVE)).await?;
    if home.process().is_some() {
        running::run(job, work, storage).await
    } else {
        stopped::run(job, work, storage).await
    }
}

/// Copies a disk to the storage and makes the image visible.
async fn store(
    job: &Job,
    work: &CaptureWork,
    storage: &dyn StorageBackend,
    disk: &Arc<Disk>,
    cancel: CancellationToken,
) -> Result<Written, Halt> {
    let format = job.machine.format(work.image.format.as_str())?;
    // The engine writes in turn where a target can do no other.
    let request = WriteRequest {
        key: work.image.key.clone(),
        upper_bound: None,
        needs_random: false,
        if_absent: false,
    };
    let mut upload = storage.begin_upload(&request).await?;
    job.note(step::UPLOAD, [("token", to_hex(upload.token()))]).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let written = copy::write(Request {
        disk,
        format: format.as_ref(),
        target: Target::Upload(upload.target().clone()),
        compression: work.compression,
        grow_to: None,
        progress,
        cancel: cancel.clone(),
    });
    let written = written.await.map_err(|halt| job.control.because(halt))?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    if cancel.is_cancelled() {
        return Err(Halt::Stopped(crate::error::StopReason::Cancelled));
    }
    job.note(step::COMMITTING, []).await?;
    let digests = [(DiskDigest::ALGORITHM.to_owned(), written.stored.as_bytes().to_vec())];
    upload.commit(written.file_size, &digests).await?;
    job.note(step::COMMITTED, []).await?;
    Ok(written)
}

fn stored_image(work: &CaptureWork, written: &Written, level: Consistency) -> Result<StoredImage, Halt> {
    Ok(StoredImage {
        size: size_of(written.file_size)?,
        virtual_size: size_of(written.virtual_size)?,
        format: work.image.format,
        logical_digest: written.logical.to_string().parse().map_err(invalid_digest)?,
        stored_digest: written.stored.to_string().parse().map_err(invalid_digest)?,
        consistency: Some(level),
    })
}
