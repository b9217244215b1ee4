//! What the loops of an agent process share.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use imprint_agent_protocol::{ControlPlane, HeldLease, ObjectServer, RegisterResponse};
use imprint_domain::{
    id::{AgentId, TaskId},
    time::Environment,
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::{
    jobs::control::Control, machine::Machine, objects::Permitted, runtime::outbox::Outbox, sync::lock,
};

/// The state of an agent process.
pub(crate) struct AgentState {
    /// The id of the process.
    pub(crate) id: AgentId,
    pub(crate) machine: Arc<Machine>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) control_plane: Arc<dyn ControlPlane>,
    pub(crate) environment: Arc<dyn Environment>,
    /// The jobs that are being executed.
    pub(crate) running: Mutex<HashMap<TaskId, RunningJob>>,
    /// Notified when a job has ended, so that another one can start.
    pub(crate) job_ended: Notify,
    /// Notified when the control plane does not know this process any more.
    pub(crate) registration_lost: Notify,
    pub(crate) jobs: TaskTracker,
    registration: Mutex<Option<Arc<RegisterResponse>>>,
    advanced: Mutex<Vec<HeldLease>>,
    /// Where objects are served, for the registration.
    announced: Mutex<Option<ObjectServer>>,
    /// The image storages to report on and to serve, as the control plane last named them, and the
    /// key of those who may read from them.
    pub(crate) permitted: Arc<Permitted>,
}

/// A job that is being executed.
pub(crate) struct RunningJob {
    /// The number of its lease.
    pub(crate) fence: u64,
    pub(crate) is_capture: bool,
    /// The path of its journal.
    pub(crate) journal: PathBuf,
    pub(crate) control: Arc<Control>,
}

impl AgentState {
    pub(crate) fn new(
        id: AgentId,
        machine: Arc<Machine>,
        outbox: Arc<Outbox>,
        control_plane: Arc<dyn ControlPlane>,
        environment: Arc<dyn Environment>,
    ) -> Self {
        Self {
            id,
            machine,
            outbox,
            control_plane,
            environment,
            running: Mutex::default(),
            job_ended: Notify::new(),
            registration_lost: Notify::new(),
            jobs: TaskTracker::new(),
            registration: Mutex::default(),
            advanced: Mutex::default(),
            announced: Mutex::default(),
            permitted: Arc::default(),
        }
    }

    /// Returns what the control plane answered to the registration.
    pub(crate) fn registration(&self) -> Arc<RegisterResponse> {
        lock(&self.registration).clone().expect("the loops start after the registration")
    }

    /// Stores the answer to a registration.
    pub(crate) fn set_registration(&self, answer: RegisterResponse) {
        self.permitted.set_storages(answer.storages.clone());
        self.permitted.set_key(answer.object_key.clone());
        *lock(&self.registration) = Some(Arc::new(answer));
    }

    /// Stores how many captures may run at once from now on.
    pub(crate) fn set_max_captures(&self, captures: u32) {
        let mut registration = lock(&self.registration);
        let Some(current) = registration.as_mut() else { return };
        if current.max_captures != captures {
            Arc::make_mut(current).max_captures = captures;
        }
    }

    /// Stores where objects are served.
    pub(crate) fn announce(&self, server: Option<ObjectServer>) {
        *lock(&self.announced) = server;
    }

    /// Returns where objects are served.
    pub(crate) fn announced(&self) -> Option<ObjectServer> {
        lock(&self.announced).clone()
    }

    /// Stores the leases of interrupted jobs that go on where they were.
    pub(crate) fn set_advanced(&self, leases: Vec<HeldLease>) {
        *lock(&self.advanced) = leases;
    }

    /// Returns the leases of jobs of the earlier process that go on where they were.
    pub(crate) fn advanced(&self) -> Vec<HeldLease> {
        lock(&self.advanced).clone()
    }

    /// Returns whether a job on that task is running.
    pub(crate) fn is_running(&self, task: TaskId) -> bool {
        lock(&self.running).contains_key(&task)
    }

    /// Returns whether a running job uses that journal.
    pub(crate) fn uses_journal(&self, journal: &Path) -> bool {
        lock(&self.running).values().any(|running| running.journal == journal)
    }
}
