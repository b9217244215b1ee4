//! Reinstalling: the primary disk of an instance is written anew from an image (S11).
//!
//! ```text
//! new disk beside the old one -> power off -> rename -> seed -> definition -> launch
//! ```
//!
//! The instance runs on, with its old disk, until the new one is complete; a job that ends before
//! the rename leaves it as it was. An attempt that was interrupted later is made again from the
//! beginning.

use std::{fs, io};

use imprint_agent_protocol::{DeployAssignment, DeployResult};
use imprint_domain::{instance::Power, task::Phase, task_error::TaskErrorCode};
use tracing::warn;

use crate::{
    durable,
    error::{CleanupError, JobError},
    jobs::{
        deploy::{self, Seeds},
        job::{Job, instance_of},
        power,
    },
    journal::{FileJournal, steps},
    machine::{
        Machine,
        instance::{InstanceDir, REPLACEMENT, disk_file},
    },
    sync::blocking,
};

/// Replaces the disk of the instance and, if requested, starts it.
pub(crate) async fn run(job: &Job, assignment: &DeployAssignment) -> Result<DeployResult, JobError> {
    job.control.phase(Phase::Preparing);
    let dir = &job.machine.instance_dir(assignment.instance.id);
    let seeds = Seeds::of(assignment)?;
    let driver = job.driver().await?;
    let of = dir.clone();
    let before = blocking(move || of.definition()).await??;
    let image = assignment.image.as_ref().ok_or_else(|| {
        JobError::failed(TaskErrorCode::Internal, "an instance is reinstalled from an image")
    })?;
    job.note(steps::REINSTALLING, [("instance", dir.id().to_string())]).await?;
    remove_replacement(dir).map_err(|error| JobError::io("remove an earlier attempt", &error))?;
    deploy::write_disk(job, assignment, image, dir, REPLACEMENT).await?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    if let Some(process) = dir.process() {
        // Nothing of the old disk is kept, so the guest is not asked to shut down.
        power::power_off(dir, driver.as_ref(), process).await?;
    }
    let (of, disk) = (dir.clone(), disk_file(assignment.instance.disk_format.as_str()));
    blocking(move || {
        fs::rename(of.file(REPLACEMENT), of.file(&disk))?;
        durable::sync_parent(&of.file(&disk))
    })
    .await?
    .map_err(|error| JobError::io("put the new disk in place of the old one", &error))?;
    // What it has beside its primary disk stays.
    let definition = deploy::define(job, assignment, dir, &seeds, before.devices).await?;
    if !assignment.start {
        return deploy::result(dir, assignment, Power::Off).await;
    }
    job.control.phase(Phase::Starting);
    match power::launch(job, dir, &definition, driver).await {
        Ok(()) => deploy::result(dir, assignment, Power::Running).await,
        // The disk is the new one; that is what has to be known. Starting the instance says why it
        // does not start.
        Err(JobError::Failed(error)) => {
            warn!(instance = %dir.id(), code = error.code(), error = error.operator_detail(), "the instance does not start from its new disk");
            power::end_failed_start(dir).await?;
            deploy::result(dir, assignment, Power::Off).await
        }
        Err(stopped @ JobError::Stopped(_)) => Err(stopped),
    }
}

/// Removes a disk that was not completed. Idempotent.
pub(super) fn clean_up(machine: &Machine, journal: &FileJournal) -> Result<(), CleanupError> {
    if journal.last(steps::REINSTALLING).is_none() {
        return Ok(());
    }
    let Some(id) = instance_of(&journal.header().assignment.kind) else { return Ok(()) };
    Ok(remove_replacement(&machine.instance_dir(id))?)
}

fn remove_replacement(dir: &InstanceDir) -> io::Result<()> {
    durable::remove_file(&dir.file(REPLACEMENT))
}
