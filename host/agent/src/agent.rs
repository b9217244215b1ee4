//! The agent's life: recover, register, work, stop.

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imprint_agent_protocol::{
    ControlPlane, PROTOCOL_VERSION, ProtocolError, Register, RegisterResponse, StorageRef,
};
use imprint_domain::{
    id::{AgentId, TaskId},
    time::Environment,
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    control::Control,
    error::StopReason,
    heartbeat,
    instance::Home,
    machine::Machine,
    outbox::{Outbox, Sent},
    ports::Ports,
    power, recovery, runner,
    settings::{FolderError, Folders, Settings},
    step::{Fault, FaultError},
};

/// First and longest pause between tries to reach the control plane.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a stopping agent tries to get its last results answered; the rest waits on disk.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why an agent does not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its folders cannot be used.
    #[error(transparent)]
    Folders(#[from] FolderError),
    /// Another agent has them.
    #[error("another agent uses {}; stop it first, or give this one its own --data-dir", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// They cannot be locked.
    #[error("cannot lock {}: {source}; check its permissions", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The test hook names no step.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The control plane does not want this agent, and trying again does not help.
    #[error("the control plane refuses this agent: {0}")]
    Refused(#[source] ProtocolError),
}

/// The work next to the disks.
pub struct Agent {
    shared: Arc<Shared>,
    _lock: File,
}

/// What the agent's loops share.
pub(crate) struct Shared {
    pub(crate) id: AgentId,
    pub(crate) machine: Arc<Machine>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) control_plane: Arc<dyn ControlPlane>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) running: Mutex<HashMap<TaskId, Running>>,
    /// A piece of work has ended: there is room for another.
    pub(crate) room: Notify,
    /// Register again.
    pub(crate) unknown: Notify,
    pub(crate) works: TaskTracker,
    registration: Mutex<Option<Arc<RegisterResponse>>>,
    pub(crate) storages: Mutex<Vec<StorageRef>>,
}

/// A piece of work in hand.
pub(crate) struct Running {
    pub(crate) fence: u64,
    pub(crate) capture: bool,
    pub(crate) journal: PathBuf,
    pub(crate) control: Arc<Control>,
}

impl Agent {
    /// Prepares the folders and locks them. Nothing is recovered and nobody is called before
    /// [`Agent::run`].
    pub fn new(
        settings: Settings,
        ports: Arc<dyn Ports>,
        control_plane: Arc<dyn ControlPlane>,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, AgentError> {
        let fault = Fault::from_env()?;
        let folders = Folders::make(&settings)?;
        let lock = lock(&folders.lock_file())?;
        let id = AgentId::new(environment.new_uuid());
        let outbox = Arc::new(Outbox::new(&folders));
        let machine = Arc::new(Machine::new(settings, folders, fault, ports));
        let shared = Arc::new(Shared {
            id,
            machine,
            outbox,
            control_plane,
            environment,
            running: Mutex::default(),
            room: Notify::new(),
            unknown: Notify::new(),
            works: TaskTracker::new(),
            registration: Mutex::new(None),
            storages: Mutex::default(),
        });
        Ok(Self { shared, _lock: lock })
    }

    /// Where scratch files belong: a folder of the agent's own, on the disk that its data is on.
    pub fn scratch_folder(&self) -> PathBuf {
        self.shared.machine.folders.scratch()
    }

    /// Works until `stop` is cancelled: then work in hand is undone, what is known is reported,
    /// and, if the settings say so, the instances are ended.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), AgentError> {
        let shared = &self.shared;
        recovery::recover_all(&shared.machine, &shared.outbox).await;
        // Under the leases of the process that made them, which end with our own registration.
        timeout(LAST_WORDS, shared.outbox.send(shared.control_plane.as_ref())).await.ok();
        if stop.run_until_cancelled(shared.register()).await.transpose()?.is_none() {
            return Ok(());
        }
        let end = CancellationToken::new();
        let loops = TaskTracker::new();
        loops.spawn(heartbeat::keep_beating(shared.clone(), end.clone()));
        loops.spawn(send_results(shared.clone(), end.clone()));
        loops.spawn(runner::keep_claiming(shared.clone(), stop.clone()));
        let of = shared.clone();
        loops.spawn(recovery::keep_trying(
            shared.machine.clone(),
            shared.outbox.clone(),
            move |path| of.runs(path),
            stop.clone(),
        ));
        loops.close();
        let outcome = shared.keep_registered(&stop).await;
        stop.cancel();
        shared.wind_down().await;
        end.cancel();
        loops.wait().await;
        if shared.machine.settings.stop_guests {
            power::end_all(Home::all(&shared.machine.folders)).await;
        }
        outcome
    }
}

fn lock(path: &Path) -> Result<File, AgentError> {
    let failed = |source| AgentError::Lock { path: path.to_owned(), source };
    let file = File::create(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Shared {
    /// What the control plane said at registration.
    pub(crate) fn registration(&self) -> Arc<RegisterResponse> {
        lock_of(&self.registration).clone().expect("the loops start after the registration")
    }

    /// Tries until the control plane answers.
    async fn register(&self) -> Result<(), AgentError> {
        let mut pause = Pause::new();
        loop {
            let request = Register {
                agent_id: self.id,
                protocol: PROTOCOL_VERSION,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                plugins: self.machine.plugins(),
                findings: self.machine.findings(),
            };
            match self.control_plane.register(request).await {
                Ok(answer) => {
                    self.look_at_clock(&answer);
                    info!(agent = %self.id, driver = %answer.driver, "registered");
                    lock_of(&self.storages).clone_from(&answer.storages);
                    *lock_of(&self.registration) = Some(Arc::new(answer));
                    return Ok(());
                }
                Err(
                    error @ (ProtocolError::Unauthenticated
                    | ProtocolError::Version { .. }
                    | ProtocolError::Refused { .. }),
                ) => return Err(AgentError::Refused(error)),
                Err(
                    error @ (ProtocolError::Unavailable { .. }
                    | ProtocolError::NotRegistered
                    | ProtocolError::LeaseLost),
                ) => {
                    warn!(%error, "cannot register yet");
                    pause.wait().await;
                }
            }
        }
    }

    fn look_at_clock(&self, answer: &RegisterResponse) {
        let off = (self.environment.now() - answer.control_plane_time).num_seconds();
        if off.abs() > 5 {
            warn!(
                seconds = off,
                "this machine's clock differs from the control plane's; set up time synchronisation"
            );
        }
    }

    /// Registers again whenever the control plane has forgotten us.
    async fn keep_registered(&self, stop: &CancellationToken) -> Result<(), AgentError> {
        while stop.run_until_cancelled(self.unknown.notified()).await.is_some() {
            stop.run_until_cancelled(self.register()).await.transpose()?;
        }
        Ok(())
    }

    fn runs(&self, journal: &Path) -> bool {
        lock_of(&self.running).values().any(|running| running.journal == journal)
    }

    /// Has everything in hand undone, and its end reported if that is possible soon.
    async fn wind_down(&self) {
        for running in lock_of(&self.running).values() {
            running.control.stop(StopReason::Stopping);
        }
        self.works.close();
        if timeout(self.machine.settings.stop_deadline, self.works.wait()).await.is_err() {
            warn!("work did not end in time; the next start undoes it");
        }
        timeout(LAST_WORDS, self.outbox.send(self.control_plane.as_ref())).await.ok();
    }
}

/// Sends results as they come, and again until they are answered.
async fn send_results(shared: Arc<Shared>, end: CancellationToken) {
    let mut pause = Pause::new();
    while !end.is_cancelled() {
        let sending = shared.outbox.send(shared.control_plane.as_ref());
        let Some(sent) = end.run_until_cancelled(sending).await else { return };
        let next = async {
            match sent {
                Sent::All => {
                    pause = Pause::new();
                    shared.outbox.added().await;
                }
                Sent::Unavailable => pause.wait().await,
                Sent::NotRegistered => {
                    shared.unknown.notify_one();
                    pause.wait().await;
                }
            }
        };
        end.run_until_cancelled(next).await;
    }
}

/// Pauses that grow, up to a bound.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = self.0.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// None of these maps is left half changed by a panic.
pub(crate) fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
