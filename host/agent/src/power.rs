//! An instance's process: started through its driver's launch specification, shut down, powered
//! off.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use imprint_agent_protocol::PowerWork;
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::{DiskSpec, Driver, Power as DriverPower, PowerAction, Props, VmSpec};
use tokio::{process::Child, time::Instant};
use tracing::{info, warn};

use crate::{
    durable,
    error::Halt,
    instance::{Definition, Home, disk_file},
    job::{Job, remove_instance},
    machine::blocking,
    process,
    settings::make_private,
    step,
};

/// Between two looks at a starting instance.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a hypervisor may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a process's own words, for the log.
const TAIL: u64 = 2048;

/// Starts an instance; one that runs is left alone.
pub(crate) async fn start(job: &Job, work: &PowerWork) -> Result<(), Halt> {
    job.control.phase(Phase::Starting);
    let home = job.machine.home(work.instance.id);
    let of = home.clone();
    let definition = blocking(move || of.definition()).await??;
    if home.process().is_some() {
        return Ok(());
    }
    let driver = job.machine.driver(&definition.driver, &definition.driver_settings).await?;
    let outcome = launch(job, &home, &definition, driver).await;
    if outcome.is_err()
        && let Some(process) = home.process()
    {
        // Half started is not started: the instance is as it was, off.
        process
            .end(PATIENCE)
            .await
            .map_err(|error| Halt::io("end a process that did not start well", &error))?;
    }
    outcome
}

/// Asks the guest to shut down, waits, and then pulls the plug; one that is off is left alone.
pub(crate) async fn stop(job: &Job, work: &PowerWork) -> Result<(), Halt> {
    job.control.phase(Phase::Starting);
    let home = job.machine.home(work.instance.id);
    let of = home.clone();
    let definition = blocking(move || of.definition()).await??;
    let Some(process) = home.process() else { return Ok(()) };
    let driver = job.machine.driver(&definition.driver, &definition.driver_settings).await?;
    let vm = work.instance.id.to_string();
    if let Err(error) = driver.set_power(&vm, PowerAction::Shutdown).await {
        warn!(instance = %vm, %error, "cannot ask the guest to shut down");
    } else {
        let grace = Duration::from_millis(u64::from(work.grace_ms));
        let ended = job.control.unless_stopped(process.ends_within(grace)).await?;
        if ended.map_err(|error| Halt::io("wait for the instance's process", &error))? {
            return Ok(());
        }
        info!(instance = %vm, "the guest did not shut down in time; powering it off");
    }
    if let Err(error) = driver.set_power(&vm, PowerAction::PowerOff).await {
        warn!(instance = %vm, %error, "the hypervisor does not take commands; ending its process");
    }
    let ended = process
        .ends_within(PATIENCE)
        .await
        .map_err(|error| Halt::io("wait for the instance's process", &error))?;
    if !ended {
        process.end(PATIENCE).await.map_err(|error| Halt::io("end the instance's process", &error))?;
    }
    Ok(())
}

/// Powers an instance off and removes everything that it has on the machine; one that is not there
/// is fine.
pub(crate) async fn delete(job: &Job, work: &PowerWork) -> Result<(), Halt> {
    job.control.phase(Phase::Removing);
    job.note(step::REMOVING, [("instance", work.instance.id.to_string())]).await?;
    remove_instance(&job.machine.home(work.instance.id))
        .await
        .map_err(|error| Halt::io("remove the files of the instance", &error))
}

/// Runs what the driver says, and waits until the driver can speak to it.
pub(crate) async fn launch(
    job: &Job,
    home: &Home,
    definition: &Definition,
    driver: Arc<dyn Driver>,
) -> Result<(), Halt> {
    job.control.check()?;
    let launch = driver.define(&vm_spec(home, definition)).await?;
    let program = job.machine.program(&launch.program)?.path.clone();
    job.note(step::LAUNCHING, [("instance", home.id().to_string())]).await?;
    let of = home.clone();
    let child = blocking(move || {
        // A socket of an earlier process would be taken for this one's.
        durable::remove_folder(&of.sockets())?;
        make_private(&of.sockets())?;
        process::start(&program, &launch, &of.process_record(), &of.file(PROCESS_LOG))
    });
    let child = child.await?.map_err(|error| Halt::io("start the instance's process", &error))?;
    ready(job, home, driver.as_ref(), child).await?;
    job.note(step::LAUNCHED, []).await
}

async fn ready(job: &Job, home: &Home, driver: &dyn Driver, mut child: Child) -> Result<(), Halt> {
    let deadline = Instant::now() + job.machine.settings.start_deadline;
    let vm = home.id().to_string();
    loop {
        if let Some(status) =
            child.try_wait().map_err(|error| Halt::io("look at the instance's process", &error))?
        {
            return Err(died(home, status));
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
            return Err(Halt::failed(
                TaskErrorCode::InstanceNotReady,
                format!("the instance did not get ready in time: {problem}"),
            ));
        }
        job.control.unless_stopped(tokio::time::sleep(LOOK_EVERY)).await?;
    }
}

/// The process's own words go to the log, not to the customer: they name paths of the machine.
fn died(home: &Home, status: ExitStatus) -> Halt {
    let words = tail(&home.file(PROCESS_LOG)).unwrap_or_default();
    warn!(instance = %home.id(), %status, words, "the instance's process ended while it started");
    Halt::failed(
        TaskErrorCode::InstanceProcessEnded,
        format!("the instance's process ended while it started ({status}); the agent's log has its words"),
    )
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const PROCESS_LOG: &str = "process.log";

/// What the driver needs to know of an instance.
fn vm_spec(home: &Home, definition: &Definition) -> VmSpec {
    let instance = &definition.instance;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let disk = |path, format: &str, read_only, serial: String| DiskSpec {
        path,
        format: format.to_owned(),
        read_only,
        serial,
    };
    let seed = home.file(SEED_FILE);
    // Virtio takes serials of at most 20 bytes.
    let uuid = instance.disk_id.uuid().simple().to_string();
    VmSpec {
        id: instance.id.to_string(),
        name: instance.name.to_string(),
        vcpus: instance.vcpus,
        memory_bytes: instance.memory.bytes(),
        disks: vec![disk(
            home.file(&disk_file(instance.disk_format.as_str())),
            instance.disk_format.as_str(),
            false,
            uuid[uuid.len() - 20..].to_owned(),
        )],
        cdroms: seed.exists().then(|| disk(seed, "raw", true, "seed".to_owned())).into_iter().collect(),
        paths: Props::from([
            ("qmp".to_owned(), text(home.sockets().join("qmp.sock"))),
            ("qga".to_owned(), text(home.sockets().join("qga.sock"))),
            ("console".to_owned(), text(home.file("console.log"))),
            ("pidfile".to_owned(), text(home.pid_file())),
        ]),
        options: definition.driver_settings.clone(),
    }
}

/// Name of the seed's file.
pub(crate) const SEED_FILE: &str = "seed.iso";

/// Ends every instance on the machine, all at once; for demonstrations.
pub(crate) async fn end_all(homes: Vec<Home>) {
    let each = homes.into_iter().map(|home| async move {
        if let Some(process) = home.process()
            && let Err(error) = process.end(PATIENCE).await
        {
            warn!(instance = %home.id(), %error, "cannot end an instance");
        }
    });
    futures::future::join_all(each).await;
}
