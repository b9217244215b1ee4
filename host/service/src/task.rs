//! Tasks: list, show, wait, cancel, retry.

use std::time::Duration;

use imprint_domain::{
    Error,
    id::{AccountId, ImageId, InstanceId, TaskId},
    task::{Phase, TaskError, TaskKind, TaskState},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service};

/// A task, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it does.
    pub kind: TaskKind,
    /// Where it is.
    pub state: TaskState,
    /// 0, 25, 50 or 100 (D9).
    pub checkpoint: u8,
    /// The present phase.
    pub phase: Phase,
    /// True progress, 0 to 100, once the total is known.
    pub percent: Option<u8>,
    /// Bytes dealt with.
    pub bytes_done: u64,
    /// Bytes to deal with.
    pub bytes_total: Option<u64>,
    /// Bytes a second, lately.
    pub rate_bps: Option<u64>,
    /// Seconds left, at that rate.
    pub eta_s: Option<u64>,
    /// 1 for the next one, while it is queued.
    pub queue_position: Option<u32>,
    /// Why it waits, for people.
    pub waiting_for: Option<String>,
    /// Attempts begun.
    pub attempt: u32,
    /// The image it works on.
    pub image_id: Option<ImageId>,
    /// The instance it works on.
    pub instance_id: Option<InstanceId>,
    /// Why the last attempt failed.
    pub error: Option<TaskError>,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// After this it is failed.
    pub deadline: Timestamp,
}

/// Which tasks to list; latest first.
#[derive(Clone, Debug, Default)]
pub struct TaskList {
    /// Any of these; empty takes all.
    pub state: Vec<TaskState>,
    /// Only those of this image.
    pub image_id: Option<ImageId>,
    /// Only those of this instance.
    pub instance_id: Option<InstanceId>,
    /// Which page.
    pub page: PageRequest,
}

impl Service {
    /// The account's tasks, latest first; for admins everybody's.
    pub async fn task_list(&self, op: &Op, list: &TaskList) -> Result<Page<TaskView>, Error> {
        pending!(op, list)
    }

    /// One task.
    pub async fn task_show(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        pending!(op, id)
    }

    /// One task, as soon as it is over or has changed, or after `wait` (at most 60 s). Cancel-safe.
    pub async fn task_wait(&self, op: &Op, id: TaskId, wait: Duration) -> Result<TaskView, Error> {
        pending!(op, id, wait)
    }

    /// Cancels a task: a queued one at once, a running one through its agent. Cancelling twice changes nothing.
    pub async fn task_cancel(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        pending!(op, id)
    }

    /// Gives a failed or cancelled task a new attempt (S127).
    pub async fn task_retry(&self, op: &Op, id: TaskId) -> Result<TaskView, Error> {
        pending!(op, id)
    }
}
