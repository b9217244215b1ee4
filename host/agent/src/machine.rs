//! What every piece of work shares: folders, plugins, instances.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use imprint_agent_protocol::StorageRef;
use imprint_domain::{
    id::{InstanceId, StorageId},
    task_error::TaskErrorCode,
};
use imprint_ports::{DiskFormat, Driver, PortError, StorageBackend};
use tokio::sync::OwnedMutexGuard;

use crate::{
    error::Halt,
    instance::Home,
    ports::{DriverGrants, Ports},
    settings::{Folders, Program, Settings},
    step::Fault,
};

/// Runs blocking work on tokio's threads for such work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Halt> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Halt::failed(
            TaskErrorCode::Internal,
            "a helper thread of the agent stopped unexpectedly; the log has the cause",
        )
    })
}

/// Shared by every piece of work.
pub(crate) struct Machine {
    pub(crate) settings: Settings,
    pub(crate) folders: Folders,
    pub(crate) fault: Fault,
    ports: Arc<dyn Ports>,
    storages: Mutex<HashMap<StorageId, OpenStorage>>,
    busy: Mutex<HashMap<InstanceId, Weak<tokio::sync::Mutex<()>>>>,
    unrecovered: Mutex<HashSet<InstanceId>>,
}

/// An open storage, and what it was opened with.
struct OpenStorage {
    with: StorageRef,
    backend: Arc<dyn StorageBackend>,
}

impl Machine {
    pub(crate) fn new(settings: Settings, folders: Folders, fault: Fault, ports: Arc<dyn Ports>) -> Self {
        Self {
            settings,
            folders,
            fault,
            ports,
            storages: Mutex::default(),
            busy: Mutex::default(),
            unrecovered: Mutex::default(),
        }
    }

    pub(crate) fn plugins(&self) -> BTreeMap<String, String> {
        self.ports.plugins()
    }

    pub(crate) fn format(&self, name: &str) -> Result<Arc<dyn DiskFormat>, Halt> {
        self.ports.format(name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            Halt::failed(
                TaskErrorCode::FormatUnknown,
                format!("no plugin knows the disk format `{name}`; install one for it"),
            )
        })
    }

    /// Every disk format.
    pub(crate) fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.ports.formats()
    }

    /// The storage, opened once for each of its settings.
    pub(crate) async fn storage(&self, wanted: &StorageRef) -> Result<Arc<dyn StorageBackend>, PortError> {
        if let Some(known) = lock(&self.storages).get(&wanted.id).filter(|known| known.with == *wanted) {
            return Ok(known.backend.clone());
        }
        let backend = self.ports.storage(wanted).await?;
        lock(&self.storages)
            .insert(wanted.id, OpenStorage { with: wanted.clone(), backend: backend.clone() });
        Ok(backend)
    }

    pub(crate) async fn driver(
        &self,
        kind: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Driver>, PortError> {
        self.ports.driver(kind, &DriverGrants::new(self.folders.run(), settings.clone())).await
    }

    pub(crate) fn home(&self, id: InstanceId) -> Home {
        Home::new(&self.folders, id)
    }

    /// Waits until no other piece of work is at that instance.
    pub(crate) async fn only(&self, id: InstanceId) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut busy = lock(&self.busy);
            busy.retain(|_, mutex| mutex.strong_count() > 0);
            let known = busy.get(&id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let fresh = Arc::default();
                busy.insert(id, Arc::downgrade(&fresh));
                fresh
            })
        };
        mutex.lock_owned().await
    }

    /// An earlier piece of work at that instance could not be undone yet.
    pub(crate) fn set_unrecovered(&self, id: InstanceId) {
        lock(&self.unrecovered).insert(id);
    }

    pub(crate) fn set_recovered(&self, id: InstanceId) {
        lock(&self.unrecovered).remove(&id);
    }

    /// Refuses an instance that still carries what an earlier piece of work left.
    pub(crate) fn require_recovered(&self, id: InstanceId) -> Result<(), Halt> {
        if lock(&self.unrecovered).contains(&id) {
            return Err(Halt::failed(
                TaskErrorCode::RecoveryPending,
                "an earlier capture of this instance could not be undone yet; it is tried again every few seconds",
            ));
        }
        Ok(())
    }

    /// The program that a driver wants run, if the operator approved it and it is there.
    pub(crate) fn program(&self, wanted: &str) -> Result<&Program, Halt> {
        let approved = self
            .settings
            .programs
            .iter()
            .find(|program| program.name == wanted || program.path.as_path() == Path::new(wanted));
        let program = approved.ok_or_else(|| {
            let wanted: String = wanted.chars().filter(|c| !c.is_control()).take(200).collect();
            Halt::failed(
                TaskErrorCode::ProgramNotApproved,
                format!("the driver wants `{wanted}` run, which the operator has not approved"),
            )
        })?;
        missing(program)
            .map_or(Ok(program), |finding| Err(Halt::failed(TaskErrorCode::ProgramMissing, finding)))
    }

    /// What is missing on the machine, for people.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<_> = self.settings.programs.iter().filter_map(missing).collect();
        if !lock(&self.unrecovered).is_empty() {
            findings.push(
                "an interrupted capture could not be undone yet; the agent's log has the cause".to_owned(),
            );
        }
        findings
    }

    /// Fails when the folder's file system has less room than that. Blocks.
    pub(crate) fn require_room(&self, folder: &Path, bytes: u64) -> Result<(), Halt> {
        let free = free_space(folder).map_err(|error| Halt::io("look at the free space", &error))?;
        if free < bytes {
            let place = folder.display().to_string();
            return Err(Halt::no_room(TaskErrorCode::HypervisorStorageFull, &place, free, bytes));
        }
        Ok(())
    }
}

/// What to install, if the program is not there.
fn missing(program: &Program) -> Option<String> {
    (!program.path.exists()).then(|| {
        format!(
            "{} is missing ({}); install the package {}",
            program.name,
            program.path.display(),
            program.package
        )
    })
}

/// Bytes that are free for us in the folder's file system.
pub(crate) fn free_space(folder: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// None of these maps is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
