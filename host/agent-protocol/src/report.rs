//! Reports: what an agent sends to the control plane, and the answers.

use std::collections::BTreeMap;

use imprint_domain::{
    consistency::Consistency,
    digest::{LogicalDigest, StoredDigest},
    export::StoredExport,
    findings::DiskFindings,
    id::{AgentId, InstanceId, StorageId, TaskId},
    image::{ImageFormat, StoredImage},
    import::Packing,
    instance::Power,
    iso::StoredIso,
    network::Network,
    plugin_kind::{DriverKind, StorageKind},
    secret::Secrets,
    size::ByteSize,
    storage_test::StorageTest,
    task::Phase,
    task_error::TaskError,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    assignment::{Assignment, StorageRef},
    object::{ObjectKey, ObjectServer},
};

/// The first call of an agent process. Its hypervisor is the one that its token belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// The id of the process, new at every start.
    pub agent_id: AgentId,
    /// The protocol version that the agent supports, [`crate::PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The version of the agent's program.
    pub version: String,
    /// The versions of the loaded plugins by their ids.
    pub plugins: BTreeMap<String, String>,
    /// The storages that the loaded plugins provide.
    #[serde(default)]
    pub storage_kinds: Vec<StorageKindReport>,
    /// The drivers of the loaded plugins that change the devices of running instances.
    #[serde(default)]
    pub drivers_with_devices: Vec<String>,
    /// What is missing on the machine, such as QEMU, as human-readable sentences.
    pub findings: Vec<String>,
    /// Where the agent serves the objects of its storages; `None` where it does not.
    #[serde(default)]
    pub objects: Option<ObjectServer>,
    /// The leases of jobs that the end of the earlier process interrupted, and that have sent what
    /// their next attempts will not send again: the interruption does not count as an attempt.
    #[serde(default)]
    pub advanced: Vec<HeldLease>,
}

/// A kind of image storage that a plugin of an agent provides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageKindReport {
    /// The name of the kind, such as `local`.
    pub kind: StorageKind,
    /// The id of the plugin.
    pub plugin: String,
    /// The version of the plugin.
    pub version: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The JSON Schema of the settings; `None` when the plugin has none.
    pub schema: Option<String>,
}

/// The settings of a new agent process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// The driver to use.
    pub driver: DriverKind,
    /// The settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// The number of jobs that may run at once.
    pub max_jobs: u32,
    /// The number of captures that may run at once (S28), at most `max_jobs`.
    pub max_captures: u32,
    /// The image storages that are bound to the hypervisor, whose free space is reported.
    pub storages: Vec<StorageRef>,
    /// The key of the tokens that the agent's object server accepts; `None` where the control plane
    /// has no key to derive it from.
    #[serde(default)]
    pub object_key: Option<ObjectKey>,
    /// The time of the control plane's clock, by which the agent notices that its own is wrong.
    pub control_plane_time: Timestamp,
}

/// A lease that an agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    /// The id of the task.
    pub task_id: TaskId,
    /// The number of the lease.
    pub fence: u64,
}

/// The state of an instance on its hypervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The id of the instance.
    pub id: InstanceId,
    /// The power state.
    pub power: Power,
    /// The space that its primary disk occupies, in bytes; `None` if it cannot be read.
    pub disk_allocated: Option<ByteSize>,
    /// Its network card; `None` if it has none.
    #[serde(default)]
    pub network: Option<Network>,
}

/// The state of an image storage, as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// The id of the storage.
    pub id: StorageId,
    /// The size of the storage in bytes; `None` if it has no fixed size.
    pub total: Option<ByteSize>,
    /// The free space in bytes; `None` if it is not known.
    pub available: Option<ByteSize>,
    /// The reason why it cannot be used; `None` if it can.
    pub problem: Option<String>,
    /// Whether it can be read but not written.
    #[serde(default)]
    pub read_only: bool,
    /// Whether the storage was opened, so that its folder has its marker.
    #[serde(default)]
    pub marked: bool,
}

/// A heartbeat of an agent process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The id of the agent process.
    pub agent_id: AgentId,
    /// The leases that the call prolongs.
    pub leases: Vec<HeldLease>,
    /// The state of every instance on the machine.
    pub instances: Vec<InstanceReport>,
    /// The state of every bound storage.
    pub storages: Vec<StorageReport>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// The tasks with a lost lease: their jobs are to be stopped and undone.
    pub lost: Vec<TaskId>,
    /// The tasks that are to be cancelled.
    pub cancelled: Vec<TaskId>,
    /// The image storages that are bound to the hypervisor now.
    pub storages: Vec<StorageRef>,
}

/// A request for the secrets of an image storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum SecretsRequest {
    /// Of a storage that is bound to the agent's hypervisor.
    Storage {
        /// The id of the storage.
        id: StorageId,
    },
    /// Of the storage that a task tests, or that it exports to, under the lease of the task.
    Task {
        /// The lease of the task.
        lease: HeldLease,
    },
}

/// The secrets of an image storage. They are kept in memory only: neither journals nor results have
/// them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretsResponse {
    /// The secrets by the names of their settings.
    #[serde(with = "imprint_domain::secret::exposed")]
    pub secrets: Secrets,
}

/// A request for assignments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// The id of the agent process.
    pub agent_id: AgentId,
    /// The number of further jobs that the agent can run.
    pub max: u32,
    /// The number of them that may be captures.
    pub max_captures: u32,
    /// The number of captures that may run at once, as the agent knows it. Where the control plane
    /// has another one by now, it answers at once.
    #[serde(default)]
    pub known_captures: Option<u32>,
    /// The time that the control plane may wait, in milliseconds, at most
    /// [`crate::MAX_CLAIM_WAIT_MS`].
    pub wait_ms: u32,
}

/// The assignments, if there were any in time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimResponse {
    /// At most as many assignments as were requested.
    pub assignments: Vec<Assignment>,
    /// The number of captures that may run at once from now on (S28); `None` where the control
    /// plane is older than the member.
    #[serde(default)]
    pub max_captures: Option<u32>,
}

/// The progress of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The id of the agent process.
    pub agent_id: AgentId,
    /// The lease of the task.
    pub lease: HeldLease,
    /// The current phase.
    pub phase: Phase,
    /// The number of bytes that are done.
    pub bytes_done: u64,
    /// The number of bytes in all; `None` until it is known.
    pub bytes_total: Option<u64>,
}

/// The answer to a progress report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressResponse {
    /// Whether the job is to be stopped and undone, and reported as cancelled.
    pub cancel: bool,
}

/// The report that a job has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finish {
    /// The id of the agent process.
    pub agent_id: AgentId,
    /// The lease of the task.
    pub lease: HeldLease,
    /// How the job ended.
    pub outcome: Outcome,
}

/// How a job ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// An image was captured and is durable under its key.
    Captured(CaptureResult),
    /// A disk was imported, and is durable under its key.
    Imported(ImportResult),
    /// The file of a stock image was read.
    #[serde(alias = "adopted")]
    ImageRegistered(ImageResult),
    /// The file of an ISO was checked and read.
    IsoRegistered(IsoResult),
    /// The copy of an image's file is durable under its key, and was read again.
    Moved(MoveResult),
    /// The disk of an image is durable as a file of another format.
    Exported(ExportResult),
    /// An instance was deployed.
    Deployed(DeployResult),
    /// A storage was tested, whatever was found.
    StorageTested(StorageTest),
    /// Everything on a storage was listed and reported.
    StorageScanned,
    /// Any other assignment was done.
    Done,
    /// The job failed and left nothing behind.
    Failed(TaskError),
    /// The job was cancelled and left nothing behind.
    Cancelled,
}

/// The result of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureResult {
    /// The stored image.
    pub image: StoredImage,
    /// The consistency that was reached.
    pub consistency: Consistency,
    /// The reason why it is weaker than requested; `None` if it is not.
    pub downgraded_because: Option<String>,
    /// The name of the method that captured the point in time, such as `cbw-snapshot-access` or
    /// `stopped-file`.
    pub method: String,
    /// The time for which the guest's file systems were frozen, in milliseconds.
    pub frozen_ms: u32,
    /// The time for which the guest's processors were stopped, in milliseconds.
    pub stopped_ms: u32,
    /// What was found inside of the disk; `None` where nothing looked.
    #[serde(default)]
    pub findings: Option<DiskFindings>,
}

/// The properties of a stock image's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageResult {
    /// The stored image.
    pub image: StoredImage,
    /// What was found inside of the disk; `None` where nothing looked.
    #[serde(default)]
    pub findings: Option<DiskFindings>,
}

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportResult {
    /// The stored image.
    pub image: StoredImage,
    /// The size of the file in bytes, as it came.
    pub file_size: ByteSize,
    /// The format of the file.
    pub format: ImageFormat,
    /// What it was packed as.
    pub packing: Option<Packing>,
    /// What was found inside of the disk; `None` where nothing looked.
    #[serde(default)]
    pub findings: Option<DiskFindings>,
}

/// A request to set what a task reserves: its agent knows now how much it writes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveRequest {
    /// The lease of the task.
    pub lease: HeldLease,
    /// The most bytes that the image takes.
    pub bytes: ByteSize,
}

/// The answer to a [`ReserveRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reserved", rename_all = "snake_case")]
pub enum ReserveResponse {
    /// The bytes are reserved.
    Granted,
    /// The account's limit or the storage has no room for them.
    Refused {
        /// The error that the task ends with.
        error: TaskError,
    },
}

/// The properties of an ISO's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoResult {
    /// What the file is.
    pub stored: StoredIso,
}

/// The copy of an image's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveResult {
    /// The size of the copy in bytes.
    pub size: ByteSize,
    /// The digest of the copy, as it was read again.
    pub stored_digest: StoredDigest,
}

/// The file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportResult {
    /// What the file is.
    pub stored: StoredExport,
    /// The digest of the disk that was written.
    pub logical_digest: LogicalDigest,
}

/// The result of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployResult {
    /// The power state of the new instance.
    pub power: Power,
    /// The space that its disk occupies, in bytes.
    pub disk_allocated: ByteSize,
    /// Its network card; `None` if it has none, or was not started.
    #[serde(default)]
    pub network: Option<Network>,
}

/// A part of what an agent finds on an image storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScanReport {
    /// The lease of the scan's task.
    pub lease: HeldLease,
    /// Objects in ascending byte order of their keys, at most [`MAX_SCANNED_OBJECTS`]; each object
    /// is in one report only.
    pub objects: Vec<ScannedObject>,
    /// The digests of objects that were reported before.
    pub digests: Vec<ScannedDigest>,
}

/// The largest number of objects in a [`ScanReport`].
pub const MAX_SCANNED_OBJECTS: usize = 500;

/// An object of an image storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedObject {
    /// The key.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last change, in milliseconds since 1970, where the storage knows it.
    pub modified_ms: Option<u64>,
}

/// The digest of an object's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedDigest {
    /// The key.
    pub key: String,
    /// The digest.
    pub digest: StoredDigest,
}

/// The answer to a [`ScanReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanResponse {
    /// The keys of the reported objects whose bytes are to be read, for a deep scan.
    pub digest: Vec<String>,
}
