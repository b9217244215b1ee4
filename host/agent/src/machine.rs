//! The machine of the agent: its folders, plugins and instances, which all jobs share.

pub(crate) mod devices;
pub(crate) mod instance;
mod mounts;
pub(crate) mod network;
pub(crate) mod process;
mod storage_folder;
pub(crate) mod storages;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    path::Path,
    sync::{Arc, Mutex, Weak},
};

use imprint_agent_protocol::{
    ControlPlane, ProtocolError, ReserveRequest, ReserveResponse, ScanReport, ScanResponse, SecretsRequest,
    StorageKindReport, StorageRef,
};
use imprint_domain::{
    id::{InstanceId, TaskId},
    task_error::TaskErrorCode,
};
use imprint_ports::{
    DiskFormat, DiskInspector, Driver, ErrorClass, PortError, Secrets, SettingFinding, StorageBackend,
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    error::{JobError, StopReason},
    journal::fault::Fault,
    machine::{
        instance::InstanceDir,
        storages::{Storage, Storages},
    },
    ports::{DriverGrants, Ports},
    received::Receivers,
    settings::{Folders, Program, Settings},
    sync::lock,
};

/// The machine, as jobs use it.
pub(crate) struct Machine {
    pub(crate) settings: Settings,
    pub(crate) folders: Folders,
    pub(crate) fault: Fault,
    ports: Arc<dyn Ports>,
    control_plane: Arc<dyn ControlPlane>,
    storages: Storages,
    busy: Locks<InstanceId>,
    tasks: Locks<TaskId>,
    unrecovered: Mutex<HashSet<InstanceId>>,
    /// The uploads that are received at the moment.
    pub(crate) receivers: Arc<Receivers>,
}

/// The space that jobs leave free on the machine's disk, in bytes.
pub(crate) const RESERVED_BYTES: u64 = 64 * 1024 * 1024;

/// Locks by ids; those that nobody holds or waits for take no memory.
struct Locks<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Locks<K> {
    async fn lock(&self, id: K) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut known = lock(&self.0);
            known.retain(|_, mutex| mutex.strong_count() > 0);
            let held = known.get(&id).and_then(Weak::upgrade);
            held.unwrap_or_else(|| {
                let fresh = Arc::default();
                known.insert(id, Arc::downgrade(&fresh));
                fresh
            })
        };
        mutex.lock_owned().await
    }
}

impl Machine {
    pub(crate) fn new(
        settings: Settings,
        folders: Folders,
        fault: Fault,
        ports: Arc<dyn Ports>,
        control_plane: Arc<dyn ControlPlane>,
    ) -> Self {
        Self {
            settings,
            folders,
            fault,
            ports,
            control_plane,
            storages: Storages::default(),
            busy: Locks::default(),
            tasks: Locks::default(),
            unrecovered: Mutex::default(),
            receivers: Arc::default(),
        }
    }

    pub(crate) fn plugins(&self) -> BTreeMap<String, String> {
        self.ports.plugins()
    }

    pub(crate) fn storage_kinds(&self) -> Vec<StorageKindReport> {
        self.ports.storage_kinds()
    }

    pub(crate) fn drivers_with_devices(&self) -> Vec<String> {
        self.ports.drivers_with_devices()
    }

    pub(crate) fn format(&self, name: &str) -> Result<Arc<dyn DiskFormat>, JobError> {
        self.ports.format(name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            JobError::failed(
                TaskErrorCode::FormatUnknown,
                format!("no plugin knows the disk format `{name}`; install one for it"),
            )
        })
    }

    /// Returns every disk format.
    pub(crate) fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.ports.formats()
    }

    /// Returns the inspector of disks, if there is one.
    pub(crate) fn inspector(&self) -> Option<Arc<dyn DiskInspector>> {
        self.ports.inspector()
    }

    /// Returns the storage, after checking that its folder is the one that belongs to it. It is
    /// opened once, and again when its settings, its secrets or its folder have changed.
    pub(crate) async fn storage(&self, wanted: &StorageRef) -> Result<Storage, PortError> {
        let secrets = async || match wanted.secrets_version {
            0 => Ok(Secrets::new()),
            _ => self.secrets(SecretsRequest::Storage { id: wanted.id }).await,
        };
        self.storages.get(self.ports.as_ref(), wanted, secrets).await
    }

    /// Lets a plugin check the settings of a storage without opening it; `None` when it has no such
    /// check.
    pub(crate) async fn check_storage(
        &self,
        storage: &StorageRef,
        secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError> {
        let folder = self.storages.folder_for_test(self.ports.as_ref(), storage).await?;
        self.ports.check_storage(storage, folder, secrets).await
    }

    /// Opens a storage that nothing else uses, for its connection test.
    pub(crate) async fn open_storage(
        &self,
        storage: &StorageRef,
        secrets: Secrets,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        self.storages.open_for_test(self.ports.as_ref(), storage, secrets).await
    }

    /// Reports a part of a scan to the control plane.
    pub(crate) async fn scanned(&self, report: ScanReport) -> Result<ScanResponse, ProtocolError> {
        self.control_plane.scanned(report).await
    }

    /// Sets what a task reserves.
    pub(crate) async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, JobError> {
        self.control_plane.reserve(request).await.map_err(|error| match error {
            ProtocolError::LeaseLost => StopReason::LeaseLost.into(),
            ProtocolError::Unavailable { .. } | ProtocolError::NotRegistered => {
                let detail = format!("the control plane cannot be asked for room: {error}");
                JobError::failed(TaskErrorCode::AgentLost, detail)
            }
            ProtocolError::Unauthenticated
            | ProtocolError::Version { .. }
            | ProtocolError::Refused { .. } => JobError::failed(TaskErrorCode::Internal, error),
        })
    }

    /// Fetches secrets from the control plane. Nothing but the open storage keeps them.
    pub(crate) async fn secrets(&self, request: SecretsRequest) -> Result<Secrets, PortError> {
        match self.control_plane.secrets(request).await {
            Ok(answer) => Ok(answer.secrets),
            Err(error) => {
                let class = match &error {
                    ProtocolError::Unavailable { .. } | ProtocolError::NotRegistered => ErrorClass::Transient,
                    ProtocolError::LeaseLost
                    | ProtocolError::Unauthenticated
                    | ProtocolError::Version { .. }
                    | ProtocolError::Refused { .. } => ErrorClass::Denied,
                };
                let text = format!("the secrets of the image storage cannot be fetched: {error}");
                Err(PortError::host(class, "storage.secrets", text))
            }
        }
    }

    pub(crate) async fn driver(
        &self,
        kind: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Driver>, PortError> {
        self.ports.driver(kind, &DriverGrants::new(self.folders.run(), settings.clone())).await
    }

    pub(crate) fn instance_dir(&self, id: InstanceId) -> InstanceDir {
        InstanceDir::new(&self.folders, id)
    }

    /// Waits until no other job uses the instance, and locks it.
    pub(crate) async fn lock_instance(&self, id: InstanceId) -> OwnedMutexGuard<()> {
        self.busy.lock(id).await
    }

    /// Waits until no other attempt of the task is at work or undone, and locks it.
    pub(crate) async fn lock_task(&self, id: TaskId) -> OwnedMutexGuard<()> {
        self.tasks.lock(id).await
    }

    /// Marks an instance with an earlier job that could not be undone yet.
    pub(crate) fn set_unrecovered(&self, id: InstanceId) {
        lock(&self.unrecovered).insert(id);
    }

    pub(crate) fn set_recovered(&self, id: InstanceId) {
        lock(&self.unrecovered).remove(&id);
    }

    /// Refuses an instance with an earlier job that could not be undone yet.
    pub(crate) fn require_recovered(&self, id: InstanceId) -> Result<(), JobError> {
        if lock(&self.unrecovered).contains(&id) {
            return Err(JobError::failed(
                TaskErrorCode::RecoveryPending,
                "an earlier capture of this instance could not be undone yet; it is tried again every few seconds",
            ));
        }
        Ok(())
    }

    /// Returns the program that a driver asks for, if the operator approved it and it exists.
    pub(crate) fn program(&self, requested: &str) -> Result<&Program, JobError> {
        let approved = self
            .settings
            .programs
            .iter()
            .find(|program| program.name == requested || program.path.as_path() == Path::new(requested));
        let program = approved.ok_or_else(|| {
            let requested: String = requested.chars().filter(|c| !c.is_control()).take(200).collect();
            JobError::failed(
                TaskErrorCode::ProgramNotApproved,
                format!("the driver asks for the program `{requested}`, which the operator has not approved"),
            )
        })?;
        missing(program)
            .map_or(Ok(program), |finding| Err(JobError::failed(TaskErrorCode::ProgramMissing, finding)))
    }

    /// Returns what is missing on the machine, as human-readable sentences.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<_> = self.settings.programs.iter().filter_map(missing).collect();
        findings.extend(self.ports.findings());
        if !lock(&self.unrecovered).is_empty() {
            findings.push(
                "an interrupted capture could not be undone yet; the agent's log has the cause".to_owned(),
            );
        }
        findings
    }

    /// Returns how many bytes may be written to a folder, with those left free that jobs leave
    /// free.
    /// Blocks.
    pub(crate) fn free_room(&self, folder: &Path) -> Result<u64, JobError> {
        let free = free_space(folder).map_err(|error| JobError::io("read the free space", &error))?;
        Ok(free.saturating_sub(RESERVED_BYTES))
    }

    /// Refuses a folder with less free space than that. Blocks.
    pub(crate) fn require_room(&self, folder: &Path, bytes: u64) -> Result<(), JobError> {
        let free = free_space(folder).map_err(|error| JobError::io("read the free space", &error))?;
        if free < bytes {
            let place = folder.display().to_string();
            return Err(JobError::no_room(TaskErrorCode::HypervisorStorageFull, &place, free, bytes));
        }
        Ok(())
    }
}

/// Returns what to install, if the program does not exist.
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

/// Returns the number of free bytes in the folder's file system.
pub(crate) fn free_space(folder: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
