//! Scans of an image storage, and the removal of objects that an admin chose after one.
//!
//! A scan sends what it lists page by page; the control plane compares it with its images. For a
//! deep scan it answers which of the objects are to be read, and their digests are sent as well.

use std::sync::Arc;

use imprint_agent_protocol::{
    CleanStorageAssignment, MAX_SCANNED_OBJECTS, ProtocolError, ScanReport, ScanResponse,
    ScanStorageAssignment, ScannedDigest, ScannedObject,
};
use imprint_data_path::Progress;
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::{ErrorClass, Object, PortError, StorageBackend};
use tracing::warn;

use crate::{
    backoff::Backoff,
    error::{JobError, StopReason},
    jobs::{
        copy,
        image::{invalid_digest, read_digest},
        job::{Job, lease},
    },
};

/// Lists everything on the storage, and reports it.
pub(crate) async fn run(job: &Job, assignment: &ScanStorageAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Preparing);
    let storage = job.machine.storage(&assignment.storage).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let page = u32::try_from(MAX_SCANNED_OBJECTS).unwrap_or(u32::MAX);
    let mut resume = None;
    loop {
        job.control.check()?;
        let listing = storage.backend.list("", resume.as_deref(), page).await?;
        // A folder that went away lists as an empty one.
        storage.require_in_place().await?;
        let objects = listing.objects.into_iter().map(scanned_object).collect();
        let answer =
            report(job, ScanReport { lease: lease(&job.journal), objects, digests: Vec::new() }).await?;
        for key in answer.digest {
            read(job, storage.backend.as_ref(), &key, &progress).await?;
        }
        resume = listing.resume;
        if resume.is_none() {
            return Ok(());
        }
    }
}

fn scanned_object(object: Object) -> ScannedObject {
    ScannedObject { key: object.key, size: object.size, modified_ms: object.modified_ms }
}

/// Reads an object and reports its digest. One that was removed after it was listed has none.
async fn read(
    job: &Job,
    storage: &dyn StorageBackend,
    key: &str,
    progress: &Arc<Progress>,
) -> Result<(), JobError> {
    job.control.check()?;
    let file = match storage.open_read(key).await {
        Ok(locator) => copy::open_stored(locator, job.control.child_token()).await?,
        Err(error) if error.class == ErrorClass::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let digest = read_digest(job, &file, progress).await?.to_string().parse().map_err(invalid_digest)?;
    let digests = vec![ScannedDigest { key: key.to_owned(), digest }];
    report(job, ScanReport { lease: lease(&job.journal), objects: Vec::new(), digests }).await?;
    Ok(())
}

/// Sends a report, and repeats it while the control plane cannot be reached.
async fn report(job: &Job, report: ScanReport) -> Result<ScanResponse, JobError> {
    let mut backoff = Backoff::new();
    loop {
        match job.machine.scanned(report.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error @ ProtocolError::Unavailable { .. }) => {
                warn!(%error, "a part of the scan is not reported yet");
                unless_stopped(job, backoff.wait()).await?;
            }
            Err(ProtocolError::LeaseLost) => return Err(JobError::Stopped(StopReason::LeaseLost)),
            Err(
                error @ (ProtocolError::Refused { .. }
                | ProtocolError::NotRegistered
                | ProtocolError::Unauthenticated
                | ProtocolError::Version { .. }),
            ) => return Err(JobError::failed(TaskErrorCode::Internal, error)),
        }
    }
}

async fn unless_stopped(job: &Job, waiting: impl Future<Output = ()>) -> Result<(), JobError> {
    job.control.child_token().run_until_cancelled(waiting).await;
    job.control.check()
}

/// Deletes the objects, all that can be.
pub(crate) async fn clean(job: &Job, assignment: &CleanStorageAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Removing);
    let storage = job.machine.storage(&assignment.storage).await?;
    let mut failed: Option<PortError> = None;
    for key in &assignment.keys {
        job.control.check()?;
        match storage.backend.delete(key).await {
            Ok(()) => {}
            Err(error) if error.class == ErrorClass::NotFound => {}
            Err(error) => {
                warn!(key, code = error.code, detail = error.message, "an object cannot be deleted");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
