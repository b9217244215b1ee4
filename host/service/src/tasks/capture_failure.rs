//! What a failed capture says to its owner and its operator, and how often captures of an instance
//! have failed (S29, S30, S47).

use imprint_domain::{
    Error,
    task::{RetryPolicy, TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_store::{
    hypervisor,
    instance::{self, InstanceRecord},
    task::TaskRecord,
};
use tracing::error as alert;

use crate::{Service, change::Change, db_result::DbResult};

/// The figures of captures for monitoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureMetrics {
    /// The captures that failed because they took too long, and were not retried since.
    pub over_time_limit: u64,
}

impl Service {
    /// Returns the figures of captures.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn capture_metrics(&self) -> Result<CaptureMetrics, Error> {
        let code = TaskErrorCode::CaptureTimeLimit;
        let over_time_limit = imprint_store::task::count_failed_with(&self.read(), code).await.db()?;
        Ok(CaptureMetrics { over_time_limit })
    }
}

/// Returns whether and when a failed attempt is followed by another one. A capture without room on
/// the image storage is tried again later: images may be deleted until then (S32).
pub(super) fn retry_of(change: &Change<'_>, record: &TaskRecord, error: &TaskError) -> RetryPolicy {
    let minutes = change.service.settings().capture_room_retry_min;
    let lacks_room = error.is(TaskErrorCode::InsufficientStorage);
    if record.task.kind == TaskKind::ImageCapture && lacks_room && minutes > 0 {
        return RetryPolicy::After(minutes.saturating_mul(60));
    }
    if error.is_retried() { RetryPolicy::AfterPause } else { RetryPolicy::Never }
}

/// Adds what is known about the failure of a capture to its error, and counts it, if no other
/// attempt follows. Errors of other tasks stay as they are.
pub(super) async fn explained(
    change: &mut Change<'_>,
    record: &TaskRecord,
    error: TaskError,
    retry: RetryPolicy,
) -> Result<TaskError, Error> {
    let task = &record.task;
    let is_final = task.next_attempt(retry, change.now).is_none() && !task.cancel_requested;
    if task.kind != TaskKind::ImageCapture || !is_final {
        return Ok(error);
    }
    // A task that waits for its next attempt has the error of the last one.
    let has_started = task.state == TaskState::Running || task.error.is_some();
    let error = if error.is(TaskErrorCode::DeadlineExceeded) && has_started {
        over_time_limit(change, record, &error).await?
    } else {
        error
    };
    let failures = count(change, record).await?;
    let found = hypervisor::get(&change.conn(), task.hypervisor_id).await.db()?;
    let is_old = found.is_some_and(|record| record.hypervisor.limited_bandwidth);
    let limited_bandwidth = is_old && error.is_retryable();
    let context = TaskErrorContext { failures, limited_bandwidth, ..error.context().clone() };
    Ok(error.with(context))
}

/// Returns the error of a capture that took too long, and alerts the operator.
async fn over_time_limit(
    change: &mut Change<'_>,
    record: &TaskRecord,
    error: &TaskError,
) -> Result<TaskError, Error> {
    let hours = change.service.settings().capture_limit_h;
    alert!(
        task = %record.task.id,
        hypervisor = %record.task.hypervisor_id,
        hours,
        "a capture took longer than it may; its owner reads to contact support"
    );
    change.task_alert(record.task.id).await?;
    let limit_s = Some(u64::from(hours) * 3600);
    let context = TaskErrorContext { limit_s, ..error.context().clone() };
    Ok(TaskError::new(TaskErrorCode::CaptureTimeLimit, error.operator_detail()).with(context))
}

/// Reads the task's instance, if there still is one.
async fn instance_of(change: &Change<'_>, record: &TaskRecord) -> Result<Option<InstanceRecord>, Error> {
    match record.task.instance_id {
        Some(id) => instance::get(&change.conn(), id).await.db(),
        None => Ok(None),
    }
}

async fn count(change: &Change<'_>, record: &TaskRecord) -> Result<Option<u32>, Error> {
    let Some(mut found) = instance_of(change, record).await? else { return Ok(None) };
    let failures = found.instance.capture_failed();
    instance::update(&change.tx, &found).await.db()?;
    Ok(Some(failures))
}

/// Forgets the failures of an instance's earlier captures, after one that succeeded.
pub(super) async fn forget(change: &Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let Some(mut found) = instance_of(change, record).await? else { return Ok(()) };
    if found.instance.captured() {
        instance::update(&change.tx, &found).await.db()?;
    }
    Ok(())
}
