//! Changing the devices of an instance: the medium in its drive and its further disks.
//!
//! ```text
//! note -> files of what is new -> the running guest -> definition -> files of what is gone
//! ```
//!
//! The definition is the truth: until it is written, the clean-up brings the running guest and the
//! files back to what it says; after it, only the files of what is gone are left to remove.

use std::sync::Arc;

use imprint_agent_protocol::{AssignmentKind, Devices, DevicesAssignment, FurtherDisk, Medium};
use imprint_data_path::Progress;
use imprint_domain::{
    image::{Compression, ImageFormat},
    size::ByteSize,
    task::Phase,
    task_error::TaskErrorCode,
};
use imprint_ports::{Driver, PortError, ReadLocator};
use tracing::info;

use crate::{
    error::{CleanupError, JobError},
    jobs::{
        copy::{self, Request, Target},
        job::Job,
        peer,
        undo::Cleanup,
        watched::unless_gone,
    },
    journal::{FileJournal, steps},
    machine::{
        Machine, RESERVED_BYTES,
        devices::{DefinedDevices, DefinedMedium, copy_file, disk_spec, further_file, path_below, serial},
        instance::InstanceDir,
    },
    sync::blocking,
};

/// Brings the devices of an instance into the state of the assignment.
pub(crate) async fn run(job: &Job, assignment: &DevicesAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Preparing);
    let id = assignment.instance.id;
    job.machine.require_recovered(id)?;
    let dir = job.machine.instance_dir(id);
    let of = dir.clone();
    let mut definition = blocking(move || of.definition()).await??;
    job.note(steps::CHANGING_DEVICES, [("instance", id.to_string())]).await?;
    let wanted = make(job, &dir, &assignment.devices, definition.devices.medium.as_ref()).await?;
    job.control.check()?;
    job.control.phase(Phase::Finalizing);
    if dir.process().is_some() {
        let driver = job.machine.driver(&definition.driver, &definition.driver_settings).await?;
        change(driver.as_ref(), &dir, &definition.devices, &wanted).await?;
    }
    definition.devices = wanted;
    blocking(move || dir.define(&definition).and_then(|()| definition.devices.remove_others(dir.folder())))
        .await?
        .map_err(|error| JobError::io("write the definition of the instance", &error))
}

/// Makes the files of devices that are new, and returns the devices as a definition has them.
pub(crate) async fn make(
    job: &Job,
    dir: &InstanceDir,
    devices: &Devices,
    before: Option<&DefinedMedium>,
) -> Result<DefinedDevices, JobError> {
    for disk in &devices.disks {
        make_disk(job, dir, disk).await?;
    }
    let medium = match &devices.medium {
        Some(medium) => Some(bring(job, dir, medium, before).await?),
        None => None,
    };
    Ok(DefinedDevices { disks: devices.disks.clone(), medium })
}

/// Makes an empty disk, unless it is there.
async fn make_disk(job: &Job, dir: &InstanceDir, disk: &FurtherDisk) -> Result<(), JobError> {
    let name = further_file(disk);
    if dir.file(&name).exists() {
        return Ok(());
    }
    write_empty(job, dir, &name, (disk.format, disk.size)).await
}

/// Writes a disk without content into the folder of the instance.
pub(super) async fn write_empty(
    job: &Job,
    dir: &InstanceDir,
    name: &str,
    (format, size): (ImageFormat, ByteSize),
) -> Result<(), JobError> {
    job.machine.require_room(dir.folder(), RESERVED_BYTES)?;
    let format = job.machine.format(format.as_str())?;
    copy::write_empty(format.as_ref(), copy::local(dir.folder(), name)?, size.bytes()).await
}

/// Brings the file of an ISO to the machine: where it is in a folder of this machine it is used
/// there, and otherwise it is copied into the folder of the instance.
async fn bring(
    job: &Job,
    dir: &InstanceDir,
    medium: &Medium,
    before: Option<&DefinedMedium>,
) -> Result<DefinedMedium, JobError> {
    let iso = medium.iso.id;
    let defined = |path| DefinedMedium { iso, path, boot: medium.boot };
    if before.is_some_and(|before| before.iso == iso && before.path.is_none())
        && dir.file(&copy_file(iso)).exists()
    {
        return Ok(defined(None));
    }
    let file = peer::locate_object(job, &medium.iso.storage, &medium.iso.key, medium.source.as_ref()).await?;
    let source = copy::open_stored(file.locator.clone(), job.control.child_token()).await?;
    if source.size() != medium.size.bytes() {
        return Err(changed(medium));
    }
    if let ReadLocator::File(local) = &file.locator {
        let local = local.clone();
        let path = blocking(move || path_below(local.dir.as_ref(), &local.path)).await?;
        let path = path.map_err(|error| JobError::io("find the file of the ISO", &error))?;
        return Ok(defined(Some(path)));
    }
    job.machine.require_room(dir.folder(), source.size().saturating_add(RESERVED_BYTES))?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel = job.control.child_token();
    let raw = job.machine.format("raw")?;
    let request = Request {
        disk: &source,
        format: raw.as_ref(),
        target: Target::Disk(copy::local(dir.folder(), &copy_file(iso))?),
        compression: Compression::None,
        grow_to: None,
        progress,
        cancel: cancel.clone(),
    };
    let written = unless_gone(Box::pin(copy::write(request)), file.until_silent(), cancel).await;
    let written = written.map_err(|error| job.control.prefer_stop_reason(error))?;
    if written.logical.to_string() != medium.digest.as_str() {
        return Err(changed(medium));
    }
    Ok(defined(None))
}

fn changed(medium: &Medium) -> JobError {
    JobError::failed(
        TaskErrorCode::IsoNotAvailable,
        format!("the file `{}` is another one than was registered; register it again", medium.iso.key),
    )
}

/// Brings a running guest from one state to another. Every step may have been made already.
async fn change(
    driver: &dyn Driver,
    dir: &InstanceDir,
    from: &DefinedDevices,
    to: &DefinedDevices,
) -> Result<(), PortError> {
    let vm = dir.id().to_string();
    let is_in = |disks: &[FurtherDisk], disk: &FurtherDisk| disks.iter().any(|other| other.id == disk.id);
    for disk in from.disks.iter().filter(|disk| !is_in(&to.disks, disk)) {
        driver.detach_disk(&vm, &serial(disk.id)).await?;
    }
    for disk in to.disks.iter().filter(|disk| !is_in(&from.disks, disk)) {
        driver.attach_disk(&vm, &disk_spec(dir.folder(), disk)).await?;
    }
    let file = |devices: &DefinedDevices| devices.medium.as_ref().map(|medium| medium.file(dir.folder()));
    if file(from) != file(to) {
        let medium = to.medium.as_ref().map(|medium| medium.spec(dir.folder()));
        driver.change_medium(&vm, medium.as_ref()).await?;
    }
    Ok(())
}

/// Brings the running guest and the files back to what the definition says.
pub(crate) async fn clean_up(
    machine: &Machine,
    journal: &FileJournal,
    cleanup: Cleanup,
) -> Result<(), CleanupError> {
    let AssignmentKind::ChangeDevices(order) = &journal.header().assignment.kind else { return Ok(()) };
    let dir = machine.instance_dir(order.instance.id);
    if journal.last(steps::CHANGING_DEVICES).is_none() || !dir.exists() {
        return Ok(());
    }
    let of = dir.clone();
    let definition = blocking(move || of.definition()).await??;
    let is_done = cleanup == Cleanup::Commit;
    if !is_done && dir.process().is_some() {
        let driver = machine.driver(&definition.driver, &definition.driver_settings).await?;
        let tried =
            DefinedDevices {
                disks: order.devices.disks.clone(),
                // Where its file is does not matter here, only that it is another one.
                medium: order.devices.medium.as_ref().map(|medium| DefinedMedium {
                    iso: medium.iso.id,
                    path: definition.devices.medium.as_ref().and_then(|before| before.path.clone()).filter(
                        |_| definition.devices.medium.as_ref().is_some_and(|it| it.iso == medium.iso.id),
                    ),
                    boot: medium.boot,
                }),
            };
        match change(driver.as_ref(), &dir, &tried, &definition.devices).await {
            Ok(()) => info!(instance = %dir.id(), "the devices are as they were"),
            // The process may have ended during the call; it starts with what the definition says.
            Err(_) if dir.process().is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(definition.devices.remove_others(dir.folder())?)
}
