//! What an agent tells the control plane.

use std::collections::BTreeMap;

use imprint_domain::{
    consistency::Consistency,
    id::{AgentId, InstanceId, StorageId, TaskId},
    image::StoredImage,
    instance::Power,
    plugin_kind::DriverKind,
    size::ByteSize,
    task::Phase,
    task_error::TaskError,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::work::{Assignment, StorageRef};

/// First call of an agent process. Its hypervisor is the peer's: the token's over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// New at every start of the process.
    pub agent_id: AgentId,
    /// [`crate::PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The agent's own version.
    pub version: String,
    /// Loaded plugins: id to version.
    pub plugins: BTreeMap<String, String>,
    /// What is missing on the machine, for people (no QEMU, no KVM, ...).
    pub findings: Vec<String>,
}

/// What a new agent process learns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// The driver to use.
    pub driver: DriverKind,
    /// Settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// Pieces of work that may run at once.
    pub max_work: u32,
    /// Captures that may run at once (S28); never more than `max_work`.
    pub max_captures: u32,
    /// Storages bound to the hypervisor, to be watched for room.
    pub storages: Vec<StorageRef>,
    /// The control plane's clock, so that an agent with a wrong one can say so.
    pub control_plane_time: Timestamp,
}

/// A lease that the agent still works under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    /// The task.
    pub task_id: TaskId,
    /// Its fence.
    pub fence: u64,
}

/// An instance as its hypervisor shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The instance.
    pub id: InstanceId,
    /// Whether it runs.
    pub power: Power,
    /// Bytes that its primary disk occupies.
    pub disk_allocated: Option<ByteSize>,
}

/// A storage as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// The storage.
    pub id: StorageId,
    /// Room in all.
    pub total: Option<ByteSize>,
    /// Room left.
    pub available: Option<ByteSize>,
    /// Why it cannot be used, if it cannot.
    pub problem: Option<String>,
}

/// A sign of life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who.
    pub agent_id: AgentId,
    /// Prolonged by this call.
    pub leases: Vec<HeldLease>,
    /// Every instance on the machine.
    pub instances: Vec<InstanceReport>,
    /// Every bound storage.
    pub storages: Vec<StorageReport>,
}

/// The answer to a sign of life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// Tasks whose lease is lost: stop them and undo what they did.
    pub lost: Vec<TaskId>,
    /// Tasks that somebody asked to cancel.
    pub cancelled: Vec<TaskId>,
    /// Storages that are bound now.
    pub storages: Vec<StorageRef>,
}

/// Asks for work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Who.
    pub agent_id: AgentId,
    /// Pieces of work that it has room for.
    pub max: u32,
    /// How many of them may be captures.
    pub max_captures: u32,
    /// How long the control plane may wait for work to come, at most [`crate::MAX_CLAIM_WAIT_MS`].
    pub wait_ms: u32,
}

/// Work, if there was any in time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimResponse {
    /// At most as many as asked for.
    pub assignments: Vec<Assignment>,
}

/// How far a piece of work is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgressReport {
    /// Who.
    pub agent_id: AgentId,
    /// Under which lease.
    pub lease: HeldLease,
    /// The present phase.
    pub phase: Phase,
    /// Bytes dealt with.
    pub bytes_done: u64,
    /// Bytes to deal with, once known.
    pub bytes_total: Option<u64>,
}

/// The answer to a progress report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressResponse {
    /// Somebody asked to stop: undo, and finish as cancelled.
    pub cancel: bool,
}

/// How a piece of work ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finish {
    /// Who.
    pub agent_id: AgentId,
    /// Under which lease.
    pub lease: HeldLease,
    /// How.
    pub outcome: Outcome,
}

/// The end of a piece of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// An image was captured and is durable under its key.
    Captured(CaptureResult),
    /// A stock image was read.
    Adopted(ImageResult),
    /// An instance was deployed.
    Deployed(DeployResult),
    /// Anything else that was asked for is done.
    Done,
    /// It failed, and nothing of it is left behind.
    Failed(TaskError),
    /// It was cancelled, and nothing of it is left behind.
    Cancelled,
}

/// What a capture made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureResult {
    /// The stored image.
    pub image: StoredImage,
    /// The level reached.
    pub consistency: Consistency,
    /// Why it is below the wanted one.
    pub downgraded_because: Option<String>,
    /// How the point in time was taken: `cbw-snapshot-access`, `stopped-file`, ...
    pub method: String,
    /// How long the guest's file systems were frozen, in milliseconds.
    pub frozen_ms: u32,
    /// How long the guest's processors stood still, in milliseconds.
    pub stopped_ms: u32,
}

/// What was found out about an image's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageResult {
    /// The stored image.
    pub image: StoredImage,
}

/// What a deployment made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployResult {
    /// Whether the instance runs.
    pub power: Power,
    /// Bytes that its new disk occupies.
    pub disk_allocated: ByteSize,
}
