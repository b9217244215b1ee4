//! Jobs on the power of an instance: its process is started by the driver's launch specification,
//! shut down, and powered off.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use imprint_agent_protocol::PowerAssignment;
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::{DiskSpec, Driver, Power as DriverPower, PowerAction, Props, VmSpec};
use tokio::{process::Child, time::Instant};
use tracing::{info, warn};

use crate::{
    durable,
    error::JobError,
    jobs::job::Job,
    journal::steps,
    machine::{
        devices::{disk_spec, serial},
        instance::{Definition, InstanceDir, disk_file},
        network,
        process::{self, Process},
    },
    settings::create_private,
    sync::blocking,
};

/// The time between two checks of a starting instance.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The time that a hypervisor's process has to end after the command to do so.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of bytes of a process's log that the agent's log repeats.
const LOG_TAIL_BYTES: u64 = 2048;

/// Starts an instance, if it is not running.
pub(crate) async fn start(job: &Job, assignment: &PowerAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Starting);
    let dir = job.machine.instance_dir(assignment.instance.id);
    let of = dir.clone();
    let definition = blocking(move || of.definition()).await??;
    if dir.process().is_some() {
        return Ok(());
    }
    let driver = job.machine.driver(&definition.driver, &definition.driver_settings).await?;
    let outcome = launch(job, &dir, &definition, driver).await;
    if outcome.is_err() {
        end_failed_start(&dir).await?;
    }
    outcome
}

/// Ends what a failed start has left: the instance is off, as it was.
pub(crate) async fn end_failed_start(dir: &InstanceDir) -> Result<(), JobError> {
    if let Some(process) = dir.process() {
        process
            .terminate()
            .await
            .map_err(|error| JobError::io("end a process that did not start well", &error))?;
    }
    let id = dir.id();
    blocking(move || network::unplug(id)).await
}

/// Asks the guest to shut down, waits, and then powers it off. Does nothing if it is off.
pub(crate) async fn stop(job: &Job, assignment: &PowerAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Starting);
    let dir = job.machine.instance_dir(assignment.instance.id);
    let of = dir.clone();
    let definition = blocking(move || of.definition()).await??;
    if let Some(process) = dir.process() {
        end(job, assignment, &definition, process).await?;
    }
    blocking(move || network::unplug(dir.id())).await
}

async fn end(
    job: &Job,
    assignment: &PowerAssignment,
    definition: &Definition,
    process: Process,
) -> Result<(), JobError> {
    let driver = job.machine.driver(&definition.driver, &definition.driver_settings).await?;
    let vm = assignment.instance.id.to_string();
    if let Err(error) = driver.set_power(&vm, PowerAction::Shutdown).await {
        warn!(instance = %vm, %error, "cannot ask the guest to shut down");
    } else {
        let grace = Duration::from_millis(u64::from(assignment.grace_ms));
        let ended = job.control.unless_stopped(process.exits_within(grace)).await?;
        if ended.map_err(|error| JobError::io("wait for the instance's process", &error))? {
            return Ok(());
        }
        info!(instance = %vm, "the guest did not shut down in time; powering it off");
    }
    power_off(&job.machine.instance_dir(assignment.instance.id), driver.as_ref(), process).await
}

/// Powers an instance off without asking its guest.
pub(crate) async fn power_off(
    dir: &InstanceDir,
    driver: &dyn Driver,
    process: Process,
) -> Result<(), JobError> {
    let vm = dir.id().to_string();
    if let Err(error) = driver.set_power(&vm, PowerAction::PowerOff).await {
        warn!(instance = %vm, %error, "the hypervisor does not accept commands; ending its process");
    }
    let ended = process
        .exits_within(POWER_OFF_TIMEOUT)
        .await
        .map_err(|error| JobError::io("wait for the instance's process", &error))?;
    if !ended {
        process.terminate().await.map_err(|error| JobError::io("end the instance's process", &error))?;
    }
    Ok(())
}

/// Powers an instance off and removes its files, if it exists.
pub(crate) async fn delete(job: &Job, assignment: &PowerAssignment) -> Result<(), JobError> {
    job.control.phase(Phase::Removing);
    job.note(steps::REMOVING, [("instance", assignment.instance.id.to_string())]).await?;
    job.machine
        .instance_dir(assignment.instance.id)
        .terminate_and_remove()
        .await
        .map_err(|error| JobError::io("remove the files of the instance", &error))
}

/// Starts the process that the driver specifies, and waits until the driver can reach it.
pub(crate) async fn launch(
    job: &Job,
    dir: &InstanceDir,
    definition: &Definition,
    driver: Arc<dyn Driver>,
) -> Result<(), JobError> {
    job.control.check()?;
    let (of, devices) = (dir.clone(), definition.devices.clone());
    blocking(move || devices.require_medium(of.folder())).await??;
    let (of, settings) = (dir.clone(), definition.driver_settings.clone());
    let folders = job.machine.folders.clone();
    let card = move || {
        let all = InstanceDir::all(&folders);
        let others: Vec<_> = all.iter().map(InstanceDir::place).collect();
        network::make_ready(of.place(), &others, &settings)
    };
    let card = blocking(card).await??;
    let launch = driver.define(&vm_spec(dir, definition, card.options)).await?;
    let program = job.machine.program(&launch.program)?.path.clone();
    job.note(steps::LAUNCHING, [("instance", dir.id().to_string())]).await?;
    let of = dir.clone();
    let child = blocking(move || {
        // The driver would take a socket of an earlier process for one of this process.
        durable::remove_folder(&of.sockets())?;
        create_private(&of.sockets())?;
        process::start(&program, &launch, &of.process_record(), &of.file(PROCESS_LOG))
    });
    let child = child.await?.map_err(|error| JobError::io("start the instance's process", &error))?;
    wait_until_ready(job, dir, driver.as_ref(), child).await?;
    job.note(steps::LAUNCHED, []).await
}

async fn wait_until_ready(
    job: &Job,
    dir: &InstanceDir,
    driver: &dyn Driver,
    mut child: Child,
) -> Result<(), JobError> {
    let deadline = Instant::now() + job.machine.settings.start_deadline;
    let vm = dir.id().to_string();
    loop {
        if let Some(status) =
            child.try_wait().map_err(|error| JobError::io("check the instance's process", &error))?
        {
            return Err(process_ended(dir, status));
        }
        let problem = match job.control.unless_stopped(driver.describe(&vm)).await? {
            Ok(seen) => match seen.power {
                DriverPower::Running => return Ok(()),
                DriverPower::Paused | DriverPower::IoError | DriverPower::Off | DriverPower::Unknown => {
                    format!("it is {:?}", seen.power)
                }
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            warn!(instance = %vm, problem, "the instance did not get ready in time");
            return Err(JobError::failed(
                TaskErrorCode::InstanceNotReady,
                format!("the instance did not get ready in time: {problem}"),
            ));
        }
        job.control.unless_stopped(tokio::time::sleep(CHECK_INTERVAL)).await?;
    }
}

/// The end of the process's log goes into the agent's log only: it names paths of the machine.
fn process_ended(dir: &InstanceDir, status: ExitStatus) -> JobError {
    let output = tail(&dir.file(PROCESS_LOG)).unwrap_or_default();
    warn!(instance = %dir.id(), %status, output, "the instance's process ended while it started");
    JobError::failed(
        TaskErrorCode::InstanceProcessEnded,
        format!(
            "the instance's process ended while it started ({status}); the agent's log has the end of its output"
        ),
    )
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const PROCESS_LOG: &str = "process.log";

/// Returns the specification of an instance for its driver.
fn vm_spec(dir: &InstanceDir, definition: &Definition, network: Props) -> VmSpec {
    let instance = &definition.instance;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let disk = |path, format: &str, read_only, serial: String| DiskSpec {
        path,
        format: format.to_owned(),
        read_only,
        serial,
    };
    let cdroms = [(SEED_FILE, "seed"), (CONFIG_DRIVE_FILE, "config-drive")];
    let cdroms = cdroms.map(|(file, serial)| (dir.file(file), serial));
    let mut options = definition.driver_settings.clone();
    options.extend(network);
    options.extend(instance.vm_mode.map(|mode| ("vm-mode".to_owned(), mode.to_string())));
    let medium = definition.devices.medium.as_ref();
    if medium.is_some_and(|medium| medium.boot) {
        options.insert("boot".to_owned(), "cd".to_owned());
    }
    let primary = disk(
        dir.file(&disk_file(instance.disk_format.as_str())),
        instance.disk_format.as_str(),
        false,
        serial(instance.disk_id),
    );
    let further = definition.devices.disks.iter().map(|disk| disk_spec(dir.folder(), disk));
    VmSpec {
        id: instance.id.to_string(),
        name: instance.name.to_string(),
        vcpus: instance.vcpus,
        memory_bytes: instance.memory.bytes(),
        disks: std::iter::once(primary).chain(further).collect(),
        cdroms: cdroms
            .into_iter()
            .filter(|(file, _)| file.exists())
            .map(|(file, serial)| disk(file, "raw", true, serial.to_owned()))
            .chain(medium.map(|medium| medium.spec(dir.folder())))
            .collect(),
        paths: Props::from([
            ("qmp".to_owned(), text(dir.sockets().join("qmp.sock"))),
            ("qga".to_owned(), text(dir.sockets().join("qga.sock"))),
            ("console".to_owned(), text(dir.file("console.log"))),
            ("pidfile".to_owned(), text(dir.pid_file())),
        ]),
        options,
    }
}

/// The name of the seed's file.
pub(crate) const SEED_FILE: &str = "seed.iso";
/// The name of the config drive's file.
pub(crate) const CONFIG_DRIVE_FILE: &str = "config-drive.iso";

/// Ends the processes of all instances at once.
pub(crate) async fn terminate_all(dirs: Vec<InstanceDir>) {
    let each = dirs.into_iter().map(|dir| async move {
        if let Some(process) = dir.process()
            && let Err(error) = process.terminate().await
        {
            warn!(instance = %dir.id(), %error, "cannot end an instance");
        }
    });
    futures::future::join_all(each).await;
}
