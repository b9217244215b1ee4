//! Tasks: background work with a stable id, phases, progress, a lease and a deadline (S19, S132).

mod life_cycle;
mod spec;

use std::ops::Deref;

pub use life_cycle::RetryPolicy;
pub use spec::{OnFailure, OnSuccess, TaskResult, TaskSpec};

use crate::{
    id::{AccountId, AgentId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    string_enum::string_enum,
    task_error::TaskError,
    time::Timestamp,
};

string_enum! {
    /// What a task does.
    pub enum TaskKind {
        /// Captures the primary disk of an instance as an image.
        ImageCapture = "image.capture",
        /// Registers a stock image: reads its file's map and digests.
        ImageRegister = "image.register",
        /// Imports a disk as an image (S74): receives or reads its file, and writes the image.
        ImageImport = "image.import",
        /// Removes an image's file.
        ImageDelete = "image.delete",
        /// Copies an image's file to another storage, where it is from then on.
        ImageMove = "image.move",
        /// Writes an image's disk as a file of another format (S90).
        ImageExport = "image.export",
        /// Removes a file that no image uses any more.
        ObjectDelete = "object.delete",
        /// Writes a new disk from an image and starts an instance on it.
        InstanceDeploy = "instance.deploy",
        /// Writes the primary disk of an instance anew from an image (S11).
        InstanceReinstall = "instance.reinstall",
        /// Starts an instance.
        InstanceStart = "instance.start",
        /// Shuts an instance down.
        InstanceStop = "instance.stop",
        /// Merges the layers of an instance's disk into one file (S50).
        InstanceCoalesce = "instance.coalesce",
        /// Puts an ISO into the drive of an instance (S111).
        InstanceMountIso = "instance.mount_iso",
        /// Takes the ISO out of the drive of an instance.
        InstanceEjectIso = "instance.eject_iso",
        /// Attaches an empty disk to an instance.
        InstanceAttachDisk = "instance.attach_disk",
        /// Detaches a disk from an instance and removes it.
        InstanceDetachDisk = "instance.detach_disk",
        /// Stops an instance and removes its disks.
        InstanceDelete = "instance.delete",
        /// Registers an ISO: checks its file and reads its digest.
        IsoRegister = "iso.register",
        /// Tests the connection to an image storage.
        StorageTest = "storage.test",
        /// Lists what is on an image storage, and compares it with the images.
        StorageScan = "storage.scan",
        /// Removes objects that an admin chose from an image storage.
        StorageClean = "storage.clean",
        /// Reads the file of an image anew, and makes the image's row true.
        ImageVerify = "image.verify",
    }

    /// The state of a task.
    pub enum TaskState {
        /// Waits for an agent.
        Queued = "queued",
        /// An agent holds its lease.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Ended without success; may be retried.
        Failed = "failed",
        /// Ended by request.
        Cancelled = "cancelled",
    }

    /// The phases of tasks, in the order in which a task goes through its own.
    #[derive(PartialOrd, Ord)]
    pub enum Phase {
        /// Not claimed yet.
        Queued = "queued",
        /// Preflight: gates, space, scratch.
        Preparing = "preparing",
        /// The file of an import arrives.
        Receiving = "receiving",
        /// The layers of the disk are merged into one file (S36).
        Coalesce = "coalesce",
        /// Freeze, point in time, thaw.
        Snapshotting = "snapshotting",
        /// Bytes are copied.
        Copying = "copying",
        /// Tables, sync, publish, teardown.
        Finalizing = "finalizing",
        /// The instance's process starts, or its power changes.
        Starting = "starting",
        /// Files are removed.
        Removing = "removing",
        /// Over.
        Done = "done",
    }
}

/// How far a task is. No part of it ever decreases within one attempt (X12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// Bytes of the virtual disk that have been processed.
    pub bytes_done: u64,
    /// Bytes to process, once known.
    pub bytes_total: Option<u64>,
}

impl Progress {
    /// The progress of a task that has not been claimed yet.
    pub const NONE: Self = Self { phase: Phase::Queued, bytes_done: 0, bytes_total: None };
}

/// The throughput of a running task, from two samples of its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// When the last sample was taken.
    pub sampled_at: Option<Timestamp>,
    /// The bytes that had been processed then.
    pub sampled_bytes: u64,
    /// The smoothed rate in bytes per second.
    pub bytes_per_second: Option<u64>,
}

/// An agent's exclusive right to execute a task, for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The agent process that holds it.
    pub agent_id: AgentId,
    /// The fencing token: larger with every claim; a report with an older one is refused.
    pub fence: u64,
    /// When the lease ends, unless a heartbeat extends it.
    pub until: Timestamp,
}

/// The parts of a task that are given when it is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The task's id.
    pub id: TaskId,
    /// The account that owns the task.
    pub account_id: AccountId,
    /// What the task does.
    pub kind: TaskKind,
    /// The image that it works on.
    pub image_id: Option<ImageId>,
    /// The instance that it works on.
    pub instance_id: Option<InstanceId>,
    /// The hypervisor whose agent executes it.
    pub hypervisor_id: HypervisorId,
    /// The request that caused it.
    pub request_id: RequestId,
}

/// The parts of a task, to read it and to build it from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskParts {
    /// The task's id.
    pub id: TaskId,
    /// The account that owns the task.
    pub account_id: AccountId,
    /// What the task does.
    pub kind: TaskKind,
    /// The state of the task.
    pub state: TaskState,
    /// How far it is.
    pub progress: Progress,
    /// How fast it is.
    pub throughput: Throughput,
    /// The image that it works on.
    pub image_id: Option<ImageId>,
    /// The instance that it works on.
    pub instance_id: Option<InstanceId>,
    /// The hypervisor whose agent executes it.
    pub hypervisor_id: HypervisorId,
    /// Attempts that were started.
    pub attempts: u32,
    /// Attempts that may be started before a failure is final.
    pub attempts_allowed: u32,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
    /// The earliest start of the next attempt.
    pub run_after: Timestamp,
    /// When a reconciler fails the task if it is not over.
    pub deadline: Timestamp,
    /// The lease of the agent that executes it, while it runs.
    pub lease: Option<Lease>,
    /// The fencing token of the last claim; 0 before the first.
    pub fence: u64,
    /// The fencing token of the last accepted report of an end; 0 before the first.
    pub finished_fence: u64,
    /// Why the last attempt failed.
    pub error: Option<TaskError>,
    /// The request that caused it.
    pub request_id: RequestId,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A task. Its parts can be read by dereferencing; only its methods change it.
///
/// ```text
///            claim                succeed
///  queued ----------> running -------------------> succeeded
///    ^ | |              | |                            ^
///    | | +--------------|-|----------------------------+
///    | |   succeed      | | fail: for good, attempts used up, deadline
///    | |                | +----------------------> failed
///    | | cancel, fail   |
///    | +-> cancelled,   | cancel
///    |     failed       +------------------------> cancelled
///    |                  |
///    |                  | requeue: retryable failure, lease expired, agent restarted
///    +------------------+
///    +---- retry by request, from failed or cancelled
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task(TaskParts);

impl Deref for Task {
    type Target = TaskParts;

    fn deref(&self) -> &TaskParts {
        &self.0
    }
}

/// A running task has a lease, and no other task has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task has a lease exactly while it is running")]
pub struct InconsistentTask;

/// Attempts that a task gets by itself when its failures are retryable.
pub const MAX_ATTEMPTS: u32 = 3;

/// The term of a lease without a heartbeat, in seconds.
pub const LEASE_S: i64 = 30;

impl TaskState {
    /// Returns whether the task is over: only a request can change it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl Phase {
    /// Returns the coarse figure of the seeds in percent (S36 to S38, D9): 0 while queued, 25 while
    /// preparing and merging, 50 from the copy on, 100 at the end.
    pub const fn checkpoint(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Preparing | Self::Receiving | Self::Coalesce | Self::Snapshotting => 25,
            Self::Copying | Self::Finalizing | Self::Starting | Self::Removing => 50,
            Self::Done => 100,
        }
    }
}
