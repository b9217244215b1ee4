//! Deploying: a new disk written natively from an image, a seed, a definition, a process.
//!
//! ```text
//! read locator -> map -> copy (digest on the way) -> seed -> definition -> launch -> ready
//! ```
//!
//! The new disk never depends on the image. Until the result is stored for the report the journal
//! says that the whole instance is to be removed.

use std::sync::Arc;

use imprint_agent_protocol::{DeployResult, DeployWork};
use imprint_data_path::{Progress, Written};
use imprint_domain::{image::Compression, instance::Power, task::Phase, task_error::TaskErrorCode};

use crate::{
    copy::{self, Request, Target},
    durable,
    error::Halt,
    instance::{Definition, Home, allocated, disk_file},
    job::{Job, remove_instance},
    machine::blocking,
    power, seed, step,
};

/// Room that is left free on the machine's disk, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Makes the instance and, if asked, starts it.
pub(crate) async fn run(job: &Job, work: &DeployWork) -> Result<DeployResult, Halt> {
    job.control.phase(Phase::Preparing);
    let home = job.machine.home(work.instance.id);
    let iso = seed::image(work.instance.id, &work.seed)
        .map_err(|error| Halt::failed(TaskErrorCode::SeedInvalid, error))?;
    let driver = job.driver().await?;
    job.note(step::NEW_INSTANCE, [("instance", work.instance.id.to_string())]).await?;
    // What an attempt left whose report was lost; nobody was told of that instance.
    remove_instance(&home).await.map_err(|error| Halt::io("remove an earlier attempt", &error))?;
    let of = home.clone();
    blocking(move || {
        std::fs::create_dir(of.folder())?;
        durable::sync_parent(of.folder())
    })
    .await?
    .map_err(|error| Halt::io("make the folder of the instance", &error))?;
    write_disk(job, work, &home).await?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let header = job.journal.header();
    let definition =
        Definition::new(work.instance.clone(), header.driver.clone(), header.driver_settings.clone());
    let (of, written) = (home.clone(), definition.clone());
    blocking(move || {
        durable::write(&of.file(power::SEED_FILE), &iso)?;
        of.define(&written)
    })
    .await?
    .map_err(|error| Halt::io("write the seed and the definition", &error))?;
    if work.start {
        job.control.phase(Phase::Starting);
        power::launch(job, &home, &definition, driver).await?;
    }
    let disk_allocated = allocated(&home.file(&disk_file(work.instance.disk_format.as_str())))
        .map_err(|error| Halt::io("look at the new disk", &error))?;
    Ok(DeployResult { power: if work.start { Power::Running } else { Power::Off }, disk_allocated })
}

/// Copies the image's disk into a new file of the instance's own format, grown to the wanted size.
async fn write_disk(job: &Job, work: &DeployWork, home: &Home) -> Result<(), Halt> {
    let storage = job.machine.storage(&work.image.storage).await?;
    let source_format = job.machine.format(work.image.format.as_str())?;
    let target_format = job.machine.format(work.instance.disk_format.as_str())?;
    let locator = storage.open_read(&work.image.key).await?;
    let cancel = job.control.child_token();
    let (disk, _) = copy::open_image(&job.machine, source_format.as_ref(), locator, cancel).await?;
    let wanted = work.instance.disk_size.bytes();
    if wanted < disk.size() {
        return Err(Halt::failed(
            TaskErrorCode::DiskTooSmall,
            "the new disk is smaller than the image's; ask for a larger one",
        ));
    }
    job.machine.require_room(home.folder(), disk.map().stored_bytes().saturating_add(RESERVE))?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let request = Request {
        disk: &disk,
        format: target_format.as_ref(),
        target: Target::Disk(copy::local(home.folder(), &disk_file(work.instance.disk_format.as_str()))?),
        compression: Compression::None,
        grow_to: Some(wanted),
        progress,
        cancel: job.control.child_token(),
    };
    let written = copy::write(request).await.map_err(|halt| job.control.because(halt))?;
    verify(work, &written)
}

/// The disk that was read must be the disk that was stored.
fn verify(work: &DeployWork, written: &Written) -> Result<(), Halt> {
    match &work.logical_digest {
        Some(expected) if expected.as_str() != written.logical.to_string() => Err(Halt::failed(
            TaskErrorCode::ImageDamaged,
            "the image's content is not what was stored; restore its file from a good copy, or delete the image",
        )),
        Some(_) | None => Ok(()),
    }
}
