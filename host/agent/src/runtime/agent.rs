//! The agent process from its start to its end: recover, register, run jobs, stop.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use imprint_agent_protocol::{ControlPlane, ProtocolError};
use imprint_domain::{id::AgentId, time::Environment};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    backoff::Backoff,
    error::StopReason,
    jobs::power,
    journal::fault::{Fault, FaultError},
    machine::{Machine, instance::InstanceDir},
    objects::{self, Listening, ObjectServerError},
    ports::Ports,
    runtime::{
        heartbeat,
        outbox::{Outbox, Sent},
        recovery, registration, runner,
        state::AgentState,
    },
    settings::{FolderError, Folders, Settings},
    sync::lock,
};

/// The time that an agent which stops has to report its last results; the others wait on the disk.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// The reason why an agent does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent's folders cannot be used.
    #[error(transparent)]
    Folders(#[from] FolderError),
    /// Another agent uses the same folders.
    #[error("another agent uses {}; stop it first, or give this one its own --data-dir", path.display())]
    Locked {
        /// The path of the lock file.
        path: PathBuf,
    },
    /// The folders cannot be locked.
    #[error("cannot lock {}: {source}; check its permissions", path.display())]
    Lock {
        /// The path of the lock file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The variable of the crash tests names no step.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The object server cannot start.
    #[error(transparent)]
    Objects(#[from] ObjectServerError),
    /// The control plane refuses the agent, and trying again does not help.
    #[error("the control plane refuses this agent: {0}")]
    Refused(#[source] ProtocolError),
}

/// An agent: captures, deploys and controls the instances of one hypervisor.
pub struct Agent {
    state: Arc<AgentState>,
    _lock: File,
}

impl Agent {
    /// Creates the folders and locks them. Recovery and calls to the control plane start with
    /// [`Agent::run`].
    ///
    /// # Errors
    ///
    /// Fails when the folders cannot be created or another agent uses them.
    pub fn new(
        settings: Settings,
        ports: Arc<dyn Ports>,
        control_plane: Arc<dyn ControlPlane>,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, AgentError> {
        let fault = Fault::from_env()?;
        let folders = Folders::create(&settings)?;
        let lock = lock_file(&folders.lock_file())?;
        let id = AgentId::new(environment.new_uuid());
        let outbox = Arc::new(Outbox::new(&folders));
        let machine = Arc::new(Machine::new(settings, folders, fault, ports, control_plane.clone()));
        let state = Arc::new(AgentState::new(id, machine, outbox, control_plane, environment));
        Ok(Self { state, _lock: lock })
    }

    /// Returns the folder for scratch files, which is on the disk of the agent's data.
    pub fn scratch_folder(&self) -> PathBuf {
        self.state.machine.folders.scratch()
    }

    /// Runs jobs until `stop` is cancelled. Then it undoes the running jobs, reports their ends
    /// and, if the settings say so, ends the instances.
    ///
    /// # Errors
    ///
    /// Fails when the object server cannot start, or the control plane refuses the agent.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), AgentError> {
        let state = &self.state;
        let server = listen(state).await?;
        state.announce(server.as_ref().map(Listening::announced));
        let advanced = recovery::recover_all(&state.machine, &state.outbox).await;
        state.set_advanced(advanced);
        // The stored results belong to the leases of earlier processes, which end with our own
        // registration.
        timeout(SHUTDOWN_GRACE, state.outbox.send(state.control_plane.as_ref())).await.ok();
        let registered = stop.run_until_cancelled(registration::register(state)).await;
        if registered.transpose().map_err(AgentError::Refused)?.is_none() {
            return Ok(());
        }
        let end = CancellationToken::new();
        let loops = TaskTracker::new();
        loops.spawn(heartbeat::send_heartbeats(state.clone(), end.clone()));
        loops.spawn(send_results(state.clone(), end.clone()));
        loops.spawn(runner::claim_jobs(state.clone(), stop.clone()));
        if let Some(server) = server {
            let context = objects::Context {
                machine: state.machine.clone(),
                permitted: state.permitted.clone(),
                environment: state.environment.clone(),
            };
            loops.spawn(server.serve(Arc::new(context), end.clone()));
        }
        let (journals, tasks) = (state.clone(), state.clone());
        loops.spawn(recovery::retry_unfinished(
            state.machine.clone(),
            state.outbox.clone(),
            (move |path: &Path| journals.uses_journal(path), move |task| tasks.is_running(task)),
            stop.clone(),
        ));
        loops.close();
        let outcome = registration::keep_registered(state, &stop).await;
        stop.cancel();
        stop_jobs(state).await;
        end.cancel();
        loops.wait().await;
        if state.machine.settings.stop_guests {
            power::terminate_all(InstanceDir::all(&state.machine.folders)).await;
        }
        outcome.map_err(AgentError::Refused)
    }
}

/// Opens the object server, if the settings have one. It answers after the registration.
async fn listen(state: &AgentState) -> Result<Option<Listening>, AgentError> {
    let machine = &state.machine;
    Ok(match &machine.settings.objects {
        Some(settings) => Some(Listening::start(settings, machine.folders.certificate()).await?),
        None => None,
    })
}

fn lock_file(path: &Path) -> Result<File, AgentError> {
    let failed = |source| AgentError::Lock { path: path.to_owned(), source };
    let file = File::create(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Stops every job, waits until they are undone, and reports their ends if that is possible soon.
async fn stop_jobs(state: &AgentState) {
    for running in lock(&state.running).values() {
        running.control.stop(StopReason::Stopping);
    }
    state.jobs.close();
    if timeout(state.machine.settings.stop_deadline, state.jobs.wait()).await.is_err() {
        warn!("jobs did not end in time; the next start undoes them");
    }
    timeout(SHUTDOWN_GRACE, state.outbox.send(state.control_plane.as_ref())).await.ok();
}

/// Sends each result when it is stored, and repeats it until it is answered.
async fn send_results(state: Arc<AgentState>, end: CancellationToken) {
    let mut backoff = Backoff::new();
    while !end.is_cancelled() {
        let sending = state.outbox.send(state.control_plane.as_ref());
        let Some(sent) = end.run_until_cancelled(sending).await else { return };
        let next = async {
            match sent {
                Sent::All => {
                    backoff = Backoff::new();
                    state.outbox.added().await;
                }
                Sent::Unavailable => backoff.wait().await,
                Sent::NotRegistered => {
                    state.registration_lost.notify_one();
                    backoff.wait().await;
                }
            }
        };
        end.run_until_cancelled(next).await;
    }
}
