//! Tasks: background work with a stable id, phases, progress, a lease and a deadline (S19, S132).

use serde::{Deserialize, Serialize};

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
        ImageAdopt = "image.adopt",
        /// Removes an image's file.
        ImageDelete = "image.delete",
        /// Writes a new disk from an image and starts an instance on it.
        InstanceDeploy = "instance.deploy",
        /// Starts an instance.
        InstanceStart = "instance.start",
        /// Shuts an instance down.
        InstanceStop = "instance.stop",
        /// Merges the layers of an instance's disk into one file (S50).
        InstanceCoalesce = "instance.coalesce",
        /// Stops an instance and removes its disks.
        InstanceDelete = "instance.delete",
    }
}

string_enum! {
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
}

string_enum! {
    /// The phases of tasks, in the order in which a task goes through its own.
    #[derive(PartialOrd, Ord)]
    pub enum Phase {
        /// Not claimed yet.
        Queued = "queued",
        /// Preflight: gates, space, scratch.
        Preparing = "preparing",
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

/// How far a task is. None of it ever goes back within one attempt (X12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The present phase.
    pub phase: Phase,
    /// Bytes of the virtual disk that are dealt with.
    pub bytes_done: u64,
    /// Bytes to deal with, once known.
    pub bytes_total: Option<u64>,
}

/// An agent's hold on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub agent_id: AgentId,
    /// Grows with every claim; a report with an older one is refused.
    pub fence: u64,
    /// When it ends, unless a heartbeat prolongs it.
    pub until: Timestamp,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whose task it is.
    pub account_id: AccountId,
    /// What it does.
    pub kind: TaskKind,
    /// Where it is.
    pub state: TaskState,
    /// How far it is.
    pub progress: Progress,
    /// The image it works on.
    pub image_id: Option<ImageId>,
    /// The instance it works on.
    pub instance_id: Option<InstanceId>,
    /// Whose agent does it.
    pub hypervisor_id: HypervisorId,
    /// Attempts begun, at most [`MAX_ATTEMPTS`] without a person's retry.
    pub attempts: u32,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// Not before this.
    pub run_after: Timestamp,
    /// After this a reconciler fails it.
    pub deadline: Timestamp,
    /// Who holds it, while it runs.
    pub lease: Option<Lease>,
    /// Why the last attempt failed.
    pub error: Option<TaskError>,
    /// The request that asked for it.
    pub request_id: RequestId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Attempts that a task gets by itself, when its failures are retryable.
pub const MAX_ATTEMPTS: u32 = 3;

/// How long a lease lasts without a heartbeat, in seconds.
pub const LEASE_S: i64 = 30;

impl TaskState {
    /// Whether nothing more will happen by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl TaskKind {
    /// How long a task may take before a reconciler fails it, in seconds: 24 hours where bytes move
    /// (S29, S138).
    pub const fn deadline_s(self) -> i64 {
        match self {
            Self::ImageCapture | Self::ImageAdopt | Self::InstanceDeploy | Self::InstanceCoalesce => {
                24 * 3600
            }
            Self::ImageDelete | Self::InstanceStart | Self::InstanceStop | Self::InstanceDelete => 15 * 60,
        }
    }
}

impl Phase {
    /// The coarse figure of the seeds (S36 to S38, D9): 0 while queued, 25 preparing and merging,
    /// 50 from the copy on, 100 at the end.
    pub const fn checkpoint(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Preparing | Self::Coalesce | Self::Snapshotting => 25,
            Self::Copying | Self::Finalizing | Self::Starting | Self::Removing => 50,
            Self::Done => 100,
        }
    }
}
