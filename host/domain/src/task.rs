//! Tasks: background work with a stable id, phases, progress, a lease and a deadline (S19, S132).

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, AgentId, HypervisorId, ImageId, InstanceId, RequestId, TaskId},
    task_error::TaskError,
    time::Timestamp,
};

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// Capture the primary disk of an instance as an image.
    #[serde(rename = "image.capture")]
    ImageCapture,
    /// Take a stock image into service: read its file's map and digests.
    #[serde(rename = "image.adopt")]
    ImageAdopt,
    /// Remove an image's file.
    #[serde(rename = "image.delete")]
    ImageDelete,
    /// Write a new disk from an image and start an instance on it.
    #[serde(rename = "instance.deploy")]
    InstanceDeploy,
    /// Start an instance.
    #[serde(rename = "instance.start")]
    InstanceStart,
    /// Shut an instance down.
    #[serde(rename = "instance.stop")]
    InstanceStop,
    /// Merge the chain of layers behind an instance's disk into one file (S50).
    #[serde(rename = "instance.coalesce")]
    InstanceCoalesce,
    /// Stop an instance and remove its disks.
    #[serde(rename = "instance.delete")]
    InstanceDelete,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for an agent.
    Queued,
    /// An agent holds its lease.
    Running,
    /// Done.
    Succeeded,
    /// Ended without success; may be retried.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

/// The phases of tasks, in the order in which a task goes through its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not claimed yet.
    Queued,
    /// Preflight: gates, space, scratch.
    Preparing,
    /// The chain of layers behind the disk is merged into one file (S36).
    Coalesce,
    /// Freeze, point in time, thaw.
    Snapshotting,
    /// Bytes move.
    Copying,
    /// Tables, sync, publish, teardown.
    Finalizing,
    /// The instance's process starts, or its power changes.
    Starting,
    /// Files are removed.
    Removing,
    /// Over.
    Done,
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

    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TaskKind {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageCapture => "image.capture",
            Self::ImageAdopt => "image.adopt",
            Self::ImageDelete => "image.delete",
            Self::InstanceDeploy => "instance.deploy",
            Self::InstanceStart => "instance.start",
            Self::InstanceStop => "instance.stop",
            Self::InstanceCoalesce => "instance.coalesce",
            Self::InstanceDelete => "instance.delete",
        }
    }

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
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Coalesce => "coalesce",
            Self::Snapshotting => "snapshotting",
            Self::Copying => "copying",
            Self::Finalizing => "finalizing",
            Self::Starting => "starting",
            Self::Removing => "removing",
            Self::Done => "done",
        }
    }

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
