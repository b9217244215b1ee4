//! Work that an agent claims.

use std::collections::BTreeMap;

use imprint_domain::{
    consistency::Consistency,
    digest::LogicalDigest,
    id::{DiskId, ImageId, InstanceId, StorageId, TaskId},
    image::{Compression, ImageFormat},
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A claimed piece of work with its lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The task.
    pub task_id: TaskId,
    /// Goes into every report about it.
    pub fence: u64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the lease ends without a heartbeat.
    pub lease_until: Timestamp,
    /// After this the control plane fails the task.
    pub deadline: Timestamp,
    /// What to do.
    pub work: Work,
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Capture the primary disk of an instance.
    Capture(CaptureWork),
    /// Read a stock image's file and report its sizes and digests.
    Adopt(AdoptWork),
    /// Remove an image's file.
    DeleteImage(DeleteImageWork),
    /// Write a disk and start an instance on it.
    Deploy(DeployWork),
    /// Start an instance.
    Start(PowerWork),
    /// Shut an instance down, then power it off after the grace.
    Stop(PowerWork),
    /// Merge the chain of layers behind the disk of a stopped instance into one file.
    Coalesce(CoalesceWork),
    /// Power an instance off and remove everything it has on the machine.
    DeleteInstance(PowerWork),
}

/// A storage, as its plugin needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRef {
    /// Its id.
    pub id: StorageId,
    /// The kind of plugin: `local`.
    pub kind: StorageKind,
    /// The plugin's settings; for `local`: `path`.
    pub settings: BTreeMap<String, String>,
}

/// An image's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The image.
    pub id: ImageId,
    /// Where its file is.
    pub storage: StorageRef,
    /// The file's key there.
    pub key: String,
    /// The format of the file.
    pub format: ImageFormat,
}

/// An instance and what the agent needs to find or make it. Its files are below the agent's own
/// folder for the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRef {
    /// The instance; its id is also its name for the driver.
    pub id: InstanceId,
    /// For people.
    pub name: Name,
    /// Its primary disk.
    pub disk_id: DiskId,
    /// The format of its primary disk's file.
    pub disk_format: ImageFormat,
    /// What the guest sees of it.
    pub disk_size: ByteSize,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory: ByteSize,
}

/// Capture the primary disk of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaptureWork {
    /// From.
    pub instance: InstanceRef,
    /// To.
    pub image: ImageRef,
    /// How.
    pub compression: Compression,
    /// The level to try for.
    pub want: Consistency,
    /// The weakest level that is a success.
    pub minimum: Consistency,
    /// Longest freeze of the guest's file systems, in milliseconds.
    pub freeze_limit_ms: u32,
    /// Bytes that the scratch file may grow to; `None` takes the disk's virtual size.
    pub scratch_limit: Option<ByteSize>,
    /// Where the instance is off and its disk a chain of layers: merge the chain first, within this
    /// time. `None` reads the chain as one disk and lets it be.
    #[serde(default)]
    pub coalesce_timeout_s: Option<u32>,
}

/// Merge the chain of layers behind the disk of a stopped instance into one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoalesceWork {
    /// The instance.
    pub instance: InstanceRef,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
}

/// Read a stock image's file and report its sizes and digests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptWork {
    /// The file.
    pub image: ImageRef,
}

/// Remove an image's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteImageWork {
    /// The file.
    pub image: ImageRef,
}

/// Write a disk and start an instance on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployWork {
    /// To.
    pub instance: InstanceRef,
    /// From.
    pub image: ImageRef,
    /// The image's logical digest, as it was reported when it was stored: an instance is not
    /// started from other bytes.
    pub logical_digest: Option<LogicalDigest>,
    /// For cloud-init (NoCloud).
    pub seed: Seed,
    /// Start it at the end.
    pub start: bool,
}

/// What the new instance learns at its first boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Host name.
    pub hostname: String,
    /// One line each, as in `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config; at most 64 KiB.
    pub user_data: Option<String>,
}

/// Change an instance's power, or remove it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PowerWork {
    /// The instance.
    pub instance: InstanceRef,
    /// How long the guest may take to shut down, in milliseconds.
    pub grace_ms: u32,
}
