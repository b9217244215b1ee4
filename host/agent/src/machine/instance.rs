//! Instances on this machine: one folder each, `<data>/agent/instances/<id>/`.
//!
//! | file | holds |
//! |---|---|
//! | `instance.json` | [`Definition`]: written when the disk is complete; without it the folder is no instance |
//! | `disk.raw`, `disk.qcow2` | the primary disk |
//! | `seed.iso`, `config-drive.iso` | the NoCloud seed, and the config drive where the image asks for one |
//! | `network.json` | the network card that was made ready for the last start |
//! | `further-SERIAL.qcow2` | a further disk; the serial is the end of its id |
//! | `cd-ID.iso` | the copy of an ISO in the drive, where its storage is no folder of this machine |
//! | `process.json`, `pid` | the process, as recorded by the agent and by the process itself |
//! | `disk.merged` | what a merge of the disk's layers has written so far |
//! | `disk.replacement` | what a reinstallation has written so far |
//! | anything else | layers below the disk, which the operator or the hypervisor created |
//! | `console.log`, `process.log` | the guest's serial console, the output of the process |

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use imprint_agent_protocol::{InstanceRef, InstanceReport};
use imprint_domain::{
    id::InstanceId, instance::Power, network::Network, size::ByteSize, task_error::TaskErrorCode,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    durable,
    error::JobError,
    machine::{
        devices::{DefinedDevices, is_device_file},
        network::{self, NETWORK_FILE, Place},
        process::Process,
    },
    settings::Folders,
};

const VERSION: u32 = 1;
/// The largest number of instances that are read.
const MAX_INSTANCES: usize = 10_000;

/// The definition of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    version: u32,
    pub(crate) instance: InstanceRef,
    /// The driver that starts it, and the driver's settings at the deployment.
    pub(crate) driver: String,
    pub(crate) driver_settings: BTreeMap<String, String>,
    /// What it has beside its primary disk.
    #[serde(default)]
    pub(crate) devices: DefinedDevices,
}

impl Definition {
    pub(crate) fn new(
        instance: InstanceRef,
        driver: String,
        driver_settings: BTreeMap<String, String>,
    ) -> Self {
        Self { version: VERSION, instance, driver, driver_settings, devices: DefinedDevices::default() }
    }
}

/// The folder of one instance.
#[derive(Clone, Debug)]
pub(crate) struct InstanceDir {
    id: InstanceId,
    folder: PathBuf,
    folders: Folders,
}

impl InstanceDir {
    pub(crate) fn new(folders: &Folders, id: InstanceId) -> Self {
        Self { id, folder: folders.instance(id), folders: folders.clone() }
    }

    /// Returns the folders of all instances on the machine. Blocks.
    pub(crate) fn all(folders: &Folders) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folders.instances()) else { return Vec::new() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.map(|id| Self::new(folders, id)).filter(Self::exists).take(MAX_INSTANCES).collect()
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the folder of the instance's sockets.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.folders.sockets(self.id)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    pub(crate) fn process_record(&self) -> PathBuf {
        self.file("process.json")
    }

    pub(crate) fn exists(&self) -> bool {
        self.file(DEFINITION).exists()
    }

    /// Writes the definition, which makes the folder an instance. Blocks.
    pub(crate) fn define(&self, definition: &Definition) -> io::Result<()> {
        durable::write(&self.file(DEFINITION), &serde_json::to_vec_pretty(definition)?)
    }

    /// Reads the definition. Blocks.
    pub(crate) fn definition(&self) -> Result<Definition, JobError> {
        let damaged = |problem: String| {
            JobError::failed(
                TaskErrorCode::InstanceDamaged,
                format!("the definition of {} cannot be read: {problem}", self.id),
            )
        };
        let bytes = match fs::read(self.file(DEFINITION)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(JobError::failed(
                    TaskErrorCode::InstanceMissing,
                    format!("{} is not on this hypervisor", self.id),
                ));
            }
            Err(error) => return Err(JobError::io("read the definition of the instance", &error)),
        };
        let definition: Definition =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if definition.version != VERSION {
            return Err(damaged(format!("it has version {}", definition.version)));
        }
        Ok(definition)
    }

    /// Returns the instance's process, if it is running.
    pub(crate) fn process(&self) -> Option<Process> {
        Process::find(&self.process_record(), &self.pid_file(), &self.id.to_string())
    }

    /// Returns the network card that was made ready for the last start. Blocks.
    pub(crate) fn network(&self) -> Option<Network> {
        network::last(self.place())
    }

    /// Returns where the instance is, as its network card is made ready by that.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { id: self.id, folder: &self.folder }
    }

    /// Ends the instance's process, if it is running, and removes the instance's files. Idempotent.
    pub(crate) async fn terminate_and_remove(&self) -> io::Result<()> {
        if let Some(process) = self.process() {
            process.terminate().await?;
        }
        let dir = self.clone();
        tokio::task::spawn_blocking(move || dir.remove()).await.map_err(io::Error::other)?
    }

    /// Removes the instance's files; its process must have ended. Idempotent. Blocks.
    fn remove(&self) -> io::Result<()> {
        network::unplug(self.id);
        durable::remove_folder(&self.sockets())?;
        durable::remove_folder(&self.folder)
    }

    /// Returns the instance's state. Reads only the process and the disk: a call to the hypervisor
    /// would be in the way of a capture, as a monitor accepts one client at a time.
    pub(crate) fn report(&self) -> InstanceReport {
        let power = if self.process().is_some() { Power::Running } else { Power::Off };
        let disk_allocated = match self.definition() {
            Ok(definition) => {
                allocated(&self.file(&disk_file(definition.instance.disk_format.as_str()))).ok()
            }
            Err(JobError::Failed(error)) => {
                warn!(instance = %self.id, error = error.operator_detail(), "cannot read an instance");
                None
            }
            Err(JobError::Stopped(_)) => None,
        };
        InstanceReport { id: self.id, power, disk_allocated, network: self.network() }
    }
}

const DEFINITION: &str = "instance.json";

/// The name of the file that a merge writes, until it is renamed to the disk's name.
pub(crate) const MERGED: &str = "disk.merged";

/// The name of the disk that a reinstallation writes, until it is renamed to the disk's name.
pub(crate) const REPLACEMENT: &str = "disk.replacement";

/// Returns whether a file in an instance's folder belongs to the agent and so is no layer of a
/// disk.
pub(crate) fn is_own_file(name: &str) -> bool {
    const OWN: [&str; 10] = [
        DEFINITION,
        "process.json",
        "pid",
        "seed.iso",
        "config-drive.iso",
        "console.log",
        "process.log",
        NETWORK_FILE,
        REPLACEMENT,
        MERGED,
    ];
    // Unfinished files of `durable::write`, of this version and of earlier ones.
    OWN.contains(&name)
        || is_device_file(name)
        || Path::new(name).extension().is_some_and(|end| end == "tmp" || end == "new")
}

/// Returns the name of the primary disk's file.
pub(crate) fn disk_file(format: &str) -> String {
    format!("disk.{format}")
}

/// Returns the number of bytes that a file occupies.
pub(crate) fn allocated(path: &Path) -> io::Result<ByteSize> {
    let bytes = fs::metadata(path)?.blocks().saturating_mul(512);
    ByteSize::new(bytes).map_err(io::Error::other)
}
