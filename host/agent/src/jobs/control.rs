//! Progress and cancellation of one job.

use std::sync::{Arc, Mutex, OnceLock};

use imprint_data_path::Progress;
use imprint_domain::task::Phase;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{JobError, StopReason},
    sync::lock,
};

/// The progress of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
}

/// The progress of a job and the request to stop it, shared by the job and the runner.
pub(crate) struct Control {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// The counters of the copies so far, in their order.
    copies: Vec<Arc<Progress>>,
    /// The number of bytes that all copies together transfer, as far as that is known before.
    expected: u64,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            token: CancellationToken::new(),
            reason: OnceLock::new(),
            inner: Mutex::new(Inner { phase: Phase::Preparing, copies: Vec::new(), expected: 0 }),
        }
    }

    /// Asks the job to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Returns the reason why the job is to stop; `None` if it is not.
    pub(crate) fn stopped(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Fails once the job is to stop; called between steps.
    pub(crate) fn check(&self) -> Result<(), JobError> {
        self.stopped().map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// Replaces the cancellation that the data path reports by the reason for it.
    pub(crate) fn prefer_stop_reason(&self, error: JobError) -> JobError {
        match (error, self.stopped()) {
            (JobError::Stopped(StopReason::Cancelled), Some(reason)) => reason.into(),
            (error, _) => error,
        }
    }

    /// Waits until the job is asked to stop.
    pub(crate) async fn wait(&self) -> StopReason {
        self.token.cancelled().await;
        *self.reason.get().expect("the reason is set before the token is cancelled")
    }

    /// Returns a token for the data path that is cancelled when the job is asked to stop.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Awaits a future that may be dropped at any point, until the job is asked to stop.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, JobError> {
        tokio::select! {
            biased;
            reason = self.wait() => Err(reason.into()),
            done = future => Ok(done),
        }
    }

    /// Starts the next phase.
    pub(crate) fn phase(&self, phase: Phase) {
        lock(&self.inner).phase = phase;
    }

    /// Adds the counters of a further copy.
    pub(crate) fn copying(&self, progress: Arc<Progress>) {
        lock(&self.inner).copies.push(progress);
    }

    /// Sets the number of bytes that several copies transfer together, so that progress does not
    /// start again with each.
    pub(crate) fn expect(&self, bytes: u64) {
        lock(&self.inner).expected = bytes;
    }

    pub(crate) fn state(&self) -> State {
        let inner = lock(&self.inner);
        let counters: Vec<_> = inner.copies.iter().map(|copy| copy.snapshot()).collect();
        let total = counters.iter().map(|counters| counters.total).sum::<u64>().max(inner.expected);
        State {
            phase: inner.phase,
            bytes_done: counters.iter().map(|counters| counters.done).sum(),
            bytes_total: (total > 0).then_some(total),
        }
    }
}
