//! Capturing the primary disk of an instance.
//!
//! ```text
//!                running                              stopped
//! unused space is given back                           power off, lock on the disk's file
//! gates (plan), room on storage and scratch disk
//! scratch file, freeze, point in time, thaw           map of the file
//!       \________________________ _______________________/
//!                                V
//!      upload (token journalled) -> copy -> commit -> take down -> result
//! ```
//!
//! The journal has a note before every step. After a failure at any of them,
//! [`crate::jobs::cleanup::clean_up`] undoes the capture.

mod accept;
mod monitor;
mod reclaim;
mod running;
mod stopped;
mod upload;

use imprint_agent_protocol::{CaptureAssignment, CaptureResult};
use imprint_domain::task::Phase;

use crate::{
    error::JobError,
    jobs::{capture::reclaim::Reclaimed, image, job::Job},
    machine::instance::{allocated, disk_file},
};

/// Captures an instance, running or stopped.
pub(crate) async fn run(job: &Job, assignment: &CaptureAssignment) -> Result<CaptureResult, JobError> {
    job.control.phase(Phase::Preparing);
    let dir = job.machine.instance_dir(assignment.instance.id);
    job.machine.require_recovered(assignment.instance.id)?;
    dir.definition()?;
    let storage = job.machine.storage(&assignment.image.storage).await?;
    storage.require_writable()?;
    let reclaimed = if dir.process().is_some() {
        reclaim::reclaim(job, assignment, job.driver().await?.as_ref()).await?
    } else {
        Reclaimed::Settled
    };
    let stored = allocated(&dir.file(&disk_file(assignment.instance.disk_format.as_str())))
        .map_err(|error| JobError::io("read the size of the instance's disk", &error))?;
    // An image takes at most what the disk occupies: too little space is refused before the copy
    // (S100).
    image::require_room(storage.backend.as_ref(), stored.bytes().saturating_add(upload::RESERVED_BYTES))
        .await?;
    if dir.process().is_some() {
        running::run(job, assignment, storage, reclaimed).await
    } else {
        stopped::run(job, assignment, storage).await
    }
}
