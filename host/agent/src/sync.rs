//! Locks and blocking calls: the two helpers that the whole crate uses.

use std::sync::{Mutex, MutexGuard, PoisonError};

use imprint_domain::task_error::TaskErrorCode;

use crate::error::JobError;

/// Locks a value, also after a panic of an earlier holder: a job that panics must not end the
/// others. Every critical section of the crate leaves its value whole at each point, so what the
/// panic left is consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a closure on tokio's blocking pool and returns what it returns.
///
/// # Errors
///
/// Fails when the closure panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        JobError::failed(TaskErrorCode::Internal, format!("a helper thread of the agent ended: {error}"))
    })
}
