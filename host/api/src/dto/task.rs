//! Tasks.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{ImageId, InstanceId, TaskId},
    task::{Phase, TaskKind, TaskState},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::storage_test::StorageTest;

/// A background task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// The id of the task.
    pub id: TaskId,
    /// The kind of the task.
    pub kind: TaskKind,
    /// The state of the task.
    pub state: TaskState,
    /// The progress in coarse steps: 0, 25, 50 or 100.
    pub checkpoint: u8,
    /// The current phase.
    pub phase: Phase,
    /// The processed share of the bytes, 0 to 100; `null` until the total is known.
    #[schema(required, maximum = 100)]
    pub percent: Option<u8>,
    /// The number of processed bytes.
    pub bytes_done: u64,
    /// The total number of bytes; `null` until it is known.
    #[schema(required)]
    pub bytes_total: Option<u64>,
    /// The rate in bytes per second, while bytes are copied.
    #[schema(required)]
    pub rate_bps: Option<u64>,
    /// The remaining time at that rate in seconds.
    #[schema(required)]
    pub eta_s: Option<u64>,
    /// The position among the waiting tasks of the hypervisor, from 1.
    #[schema(required)]
    pub queue_position: Option<u32>,
    /// The human-readable reason why the task waits.
    #[schema(required)]
    pub waiting_for: Option<String>,
    /// The number of the current attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The image of the task.
    #[schema(required)]
    pub image_id: Option<ImageId>,
    /// The instance of the task.
    #[schema(required)]
    pub instance_id: Option<InstanceId>,
    /// The error of the last attempt.
    #[schema(required)]
    pub error: Option<TaskError>,
    /// Whether the task is to be cancelled.
    pub cancel_requested: bool,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The time when the first attempt started.
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// The time when the task ended.
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The time when the task fails at the latest.
    pub deadline: DateTime<Utc>,
    /// What a connection test of an image storage found. Only in tasks of the kind `storage.test`
    /// that are over, for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_test: Option<StorageTest>,
}

/// The error of an attempt of a task. Every code is in docs/TASK-ERRORS.md.
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
    /// How the provider's support is reached; `null` where that is not what to do.
    #[serde(default)]
    #[schema(required)]
    pub support: Option<TaskSupport>,
}

/// How the provider's support is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskSupport {
    /// What to do, in the provider's words.
    #[schema(required)]
    pub text: Option<String>,
    /// The page of the support.
    #[schema(required)]
    pub url: Option<String>,
    /// The page that says which parts of the system do not work.
    #[schema(required)]
    pub status_url: Option<String>,
}

/// The tasks to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskListQuery {
    /// Only tasks in one of these states, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "queued,running")]
    pub state: Option<String>,
    /// Only tasks of this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Only tasks of this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// The longest time that a request can wait, in seconds.
pub const MAX_WAIT_S: u32 = 60;

/// How to show a task.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskShowQuery {
    /// Answer when the task has changed or ended, at the latest after that many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 60)]
    pub wait: Option<u32>,
}
