//! Deploying: a new disk is written from an image, then a seed and a definition, and the process is
//! started.
//!
//! ```text
//! read locator -> map -> copy (digest on the way) -> seed -> definition -> launch -> ready
//! ```
//!
//! The new disk never depends on the image. Until the outcome is stored, the journal says that the
//! whole instance is to be removed.

use std::sync::Arc;

use imprint_agent_protocol::{DeployAssignment, DeployResult, ImageRef, InstanceRef};
use imprint_data_path::{Progress, Written};
use imprint_domain::{image::Compression, instance::Power, task::Phase, task_error::TaskErrorCode};

use crate::{
    durable,
    error::JobError,
    jobs::{
        copy::{self, Request, Target},
        devices,
        job::Job,
        peer, power, seed,
        watched::unless_gone,
    },
    journal::steps,
    machine::{
        RESERVED_BYTES,
        devices::DefinedDevices,
        instance::{Definition, InstanceDir, allocated, disk_file},
    },
    sync::blocking,
};

/// Creates the instance and, if requested, starts it.
pub(crate) async fn run(job: &Job, assignment: &DeployAssignment) -> Result<DeployResult, JobError> {
    job.control.phase(Phase::Preparing);
    let dir = job.machine.instance_dir(assignment.instance.id);
    let seeds = Seeds::of(assignment)?;
    let driver = job.driver().await?;
    job.note(steps::NEW_INSTANCE, [("instance", assignment.instance.id.to_string())]).await?;
    // An earlier attempt may have left an instance behind, if its report was lost.
    dir.terminate_and_remove().await.map_err(|error| JobError::io("remove an earlier attempt", &error))?;
    let of = dir.clone();
    blocking(move || {
        std::fs::create_dir(of.folder())?;
        durable::sync_parent(of.folder())
    })
    .await?
    .map_err(|error| JobError::io("create the folder of the instance", &error))?;
    let disk = disk_file(assignment.instance.disk_format.as_str());
    match &assignment.image {
        Some(image) => write_disk(job, assignment, image, &dir, &disk).await?,
        // A system is installed onto it.
        None => {
            let InstanceRef { disk_format, disk_size, .. } = assignment.instance;
            devices::write_empty(job, &dir, &disk, (disk_format, disk_size)).await?;
        }
    }
    let devices = devices::make(job, &dir, &assignment.devices, None).await?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let definition = define(job, assignment, &dir, &seeds, devices).await?;
    if assignment.start {
        job.control.phase(Phase::Starting);
        power::launch(job, &dir, &definition, driver).await?;
    }
    let power = if assignment.start { Power::Running } else { Power::Off };
    result(&dir, assignment, power).await
}

/// The files that cloud-init reads.
pub(super) struct Seeds {
    nocloud: Vec<u8>,
    config_drive: Option<Vec<u8>>,
}

impl Seeds {
    pub(super) fn of(assignment: &DeployAssignment) -> Result<Self, JobError> {
        let (id, seed) = (assignment.instance.id, &assignment.seed);
        let invalid = |error: seed::SeedError| JobError::failed(TaskErrorCode::SeedInvalid, error);
        let nocloud = seed::image(id, seed).map_err(invalid)?;
        let config_drive =
            seed.config_drive.then(|| seed::config_drive(id, seed)).transpose().map_err(invalid)?;
        Ok(Self { nocloud, config_drive })
    }
}

/// Writes the seeds and the definition, which makes the folder an instance.
pub(super) async fn define(
    job: &Job,
    assignment: &DeployAssignment,
    dir: &InstanceDir,
    seeds: &Seeds,
    devices: DefinedDevices,
) -> Result<Definition, JobError> {
    let header = job.journal.header();
    let mut definition =
        Definition::new(assignment.instance.clone(), header.driver.clone(), header.driver_settings.clone());
    definition.devices = devices;
    let (of, written) = (dir.clone(), definition.clone());
    let (nocloud, config_drive) = (seeds.nocloud.clone(), seeds.config_drive.clone());
    blocking(move || {
        durable::write(&of.file(power::SEED_FILE), &nocloud)?;
        match config_drive {
            Some(iso) => durable::write(&of.file(power::CONFIG_DRIVE_FILE), &iso)?,
            None => durable::remove_file(&of.file(power::CONFIG_DRIVE_FILE))?,
        }
        of.define(&written)
    })
    .await?
    .map_err(|error| JobError::io("write the seed and the definition", &error))?;
    Ok(definition)
}

pub(super) async fn result(
    dir: &InstanceDir,
    assignment: &DeployAssignment,
    power: Power,
) -> Result<DeployResult, JobError> {
    let disk = dir.file(&disk_file(assignment.instance.disk_format.as_str()));
    let disk_allocated =
        allocated(&disk).map_err(|error| JobError::io("read the size of the new disk", &error))?;
    let of = dir.clone();
    Ok(DeployResult { power, disk_allocated, network: blocking(move || of.network()).await? })
}

/// Copies the image's disk into a new file of the instance's format, grown to the requested size.
pub(super) async fn write_disk(
    job: &Job,
    assignment: &DeployAssignment,
    image: &ImageRef,
    dir: &InstanceDir,
    name: &str,
) -> Result<(), JobError> {
    let file = peer::locate(job, image, assignment.source.as_ref()).await?;
    let source_format = job.machine.format(image.format.as_str())?;
    let target_format = job.machine.format(assignment.instance.disk_format.as_str())?;
    let cancel = job.control.child_token();
    let (disk, _) =
        copy::open_image(&job.machine, source_format.as_ref(), file.locator.clone(), cancel).await?;
    let requested = assignment.instance.disk_size.bytes();
    if requested < disk.size() {
        return Err(JobError::failed(
            TaskErrorCode::DiskTooSmall,
            "the new disk is smaller than the image's; ask for a larger one",
        ));
    }
    job.machine.require_room(dir.folder(), disk.map().stored_bytes().saturating_add(RESERVED_BYTES))?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel = job.control.child_token();
    let request = Request {
        disk: &disk,
        format: target_format.as_ref(),
        target: Target::Disk(copy::local(dir.folder(), name)?),
        compression: Compression::None,
        grow_to: Some(requested),
        progress,
        cancel: cancel.clone(),
    };
    let written = unless_gone(Box::pin(copy::write(request)), file.until_silent(), cancel).await;
    let written = written.map_err(|error| job.control.prefer_stop_reason(error))?;
    verify(assignment, &written)
}

/// Refuses an image with other content than was stored.
fn verify(assignment: &DeployAssignment, written: &Written) -> Result<(), JobError> {
    match &assignment.logical_digest {
        Some(expected) if expected.as_str() != written.logical.to_string() => Err(JobError::failed(
            TaskErrorCode::ImageDamaged,
            "the image's content is not what was stored; restore its file from a good copy, or delete the image",
        )),
        Some(_) | None => Ok(()),
    }
}
