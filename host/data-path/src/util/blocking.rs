//! Blocking work in async code.

use crate::error::EngineError;

/// Runs a closure on tokio's blocking pool.
///
/// # Errors
///
/// [`EngineError::WorkerLost`] where the closure panics.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::WorkerLost)
}
