//! Work on the bytes of a storage. It ends when its folder has gone, or does not answer any more.

use std::{pin::Pin, time::Duration};

use imprint_ports::PortError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::JobError;

/// The time that the threads of cancelled work have to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Awaits the work. `gone` is awaited beside it, and is the reason why the work is cancelled.
pub(crate) async fn unless_gone<T>(
    work: Pin<Box<impl Future<Output = Result<T, JobError>>>>,
    gone: impl Future<Output = PortError>,
    cancel: CancellationToken,
) -> Result<T, JobError> {
    unless_gone_within(END_TIMEOUT, work, gone, cancel).await
}

async fn unless_gone_within<T>(
    limit: Duration,
    mut work: Pin<Box<impl Future<Output = Result<T, JobError>>>>,
    gone: impl Future<Output = PortError>,
    cancel: CancellationToken,
) -> Result<T, JobError> {
    let gone = tokio::select! {
        biased;
        done = &mut work => return done,
        gone = gone => gone,
    };
    // The threads of the data path end before the clean-up removes their file. Those that are held
    // by a folder that does not answer end when it does.
    cancel.cancel();
    drop(timeout(limit, work).await);
    Err(gone.into())
}

#[cfg(test)]
mod tests {
    use imprint_ports::ErrorClass;

    use super::*;

    #[tokio::test]
    async fn work_that_a_silent_folder_holds_is_left_behind() {
        let cancel = CancellationToken::new();
        let held = Box::pin(std::future::pending::<Result<(), JobError>>());
        let gone = async { PortError::host(ErrorClass::Transient, "storage.not-answering", "no answer") };
        let outcome = unless_gone_within(Duration::from_millis(1), held, gone, cancel.clone()).await;
        assert!(cancel.is_cancelled());
        assert!(matches!(outcome, Err(JobError::Failed(_))));
    }

    #[tokio::test]
    async fn work_that_ends_is_not_cancelled() {
        let cancel = CancellationToken::new();
        let work = Box::pin(async { Ok::<_, JobError>(7) });
        let outcome = unless_gone(work, std::future::pending(), cancel.clone()).await;
        assert_eq!((outcome.ok(), cancel.is_cancelled()), (Some(7), false));
    }
}
