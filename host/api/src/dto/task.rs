//! Tasks.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{ImageId, InstanceId, TaskId},
    task::{Phase, TaskKind, TaskState},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A piece of background work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    #[schema(value_type = String, example = "tsk_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// Where it is.
    pub state: TaskState,
    /// The coarse figure: 0, 25, 50 or 100.
    pub checkpoint: u8,
    /// What it is doing.
    pub phase: Phase,
    /// Share of the bytes that are dealt with, 0 to 100; `null` until the total is known.
    #[schema(required, maximum = 100)]
    pub percent: Option<u8>,
    /// Bytes dealt with.
    pub bytes_done: u64,
    /// Bytes to deal with, once known.
    #[schema(required)]
    pub bytes_total: Option<u64>,
    /// Bytes a second, while bytes move.
    #[schema(required)]
    pub rate_bps: Option<u64>,
    /// Seconds that are left at that rate.
    #[schema(required)]
    pub eta_s: Option<u64>,
    /// Its place among the waiting tasks of its hypervisor, from 1.
    #[schema(required)]
    pub queue_position: Option<u32>,
    /// What it waits for, for people.
    #[schema(required)]
    pub waiting_for: Option<String>,
    /// The present attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The image that it works on.
    #[schema(required, value_type = Option<String>)]
    pub image_id: Option<ImageId>,
    /// The instance that it works on.
    #[schema(required, value_type = Option<String>)]
    pub instance_id: Option<InstanceId>,
    /// Why the last attempt failed.
    #[schema(required)]
    pub error: Option<TaskError>,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its first attempt began.
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// When it fails at the latest.
    pub deadline: DateTime<Utc>,
}

/// Why a task's attempt failed. Every code is in docs/TASK-ERRORS.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// The stable code.
    #[schema(example = "insufficient_storage")]
    pub code: String,
    /// What happened, in a few words; the same for every error with this code.
    #[schema(example = "Insufficient storage space on the image storage backend")]
    pub title: String,
    /// What happened, as a sentence with the figures that belong to it.
    #[schema(
        example = "Insufficient storage space on the image storage backend: 1.0 GiB free, 2.0 GiB needed."
    )]
    pub detail: String,
    /// What to do about it.
    pub action: String,
    /// Whether a later attempt can succeed without anything being changed.
    pub retryable: bool,
    /// The task's id, by which the provider finds the cause in the log.
    #[schema(example = "tsk_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub reference: String,
    /// The id of the request that asked for the task.
    #[schema(example = "req_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub request_id: String,
    /// The technical cause, which may name paths and settings; `null` unless an admin asks.
    #[schema(required)]
    pub operator_detail: Option<String>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskListQuery {
    /// Only these states, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "queued,running")]
    pub state: Option<String>,
    /// Only those that work on this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub image_id: Option<ImageId>,
    /// Only those that work on this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub instance_id: Option<InstanceId>,
    /// Items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// Where to go on, from the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// The longest wait, in seconds.
pub const MAX_WAIT_S: u32 = 60;

/// How to ask for a task.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskShowQuery {
    /// Answer when the task has changed or is over, at the latest after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 60)]
    pub wait: Option<u32>,
}
