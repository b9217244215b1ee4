//! The reins of one piece of work: how far it is, and whether it shall stop.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use imprint_data_path::Progress;
use imprint_domain::task::Phase;
use tokio_util::sync::CancellationToken;

use crate::error::{Halt, StopReason};

/// How far a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
}

/// Shared by the work, its reporter, and the runner.
pub(crate) struct Control {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// Counters of the copies so far, one after another.
    copies: Vec<Arc<Progress>>,
    /// Bytes that all copies together will go over, as far as that is known before.
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

    /// Asks the work to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Why it shall stop, if it shall.
    pub(crate) fn stopped(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Fails once the work shall stop; called between steps.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        self.stopped().map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// The engine says only that it was cancelled; this says why.
    pub(crate) fn because(&self, halt: Halt) -> Halt {
        match (halt, self.stopped()) {
            (Halt::Stopped(StopReason::Cancelled), Some(reason)) => reason.into(),
            (halt, _) => halt,
        }
    }

    /// Ends when the work is asked to stop.
    pub(crate) async fn wait(&self) -> StopReason {
        self.token.cancelled().await;
        *self.reason.get().expect("the reason is set before the token is cancelled")
    }

    /// A token for the engine that ends with the work's own.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Runs something that may be dropped at any point, until the work shall stop.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            reason = self.wait() => Err(reason.into()),
            done = work => Ok(done),
        }
    }

    /// The next phase begins.
    pub(crate) fn phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Bytes are counted there, too, from now on.
    pub(crate) fn copying(&self, progress: Arc<Progress>) {
        self.lock().copies.push(progress);
    }

    /// Says beforehand how many bytes several copies will go over, so that progress does not begin
    /// anew with each.
    pub(crate) fn expect(&self, bytes: u64) {
        self.lock().expected = bytes;
    }

    pub(crate) fn state(&self) -> State {
        let inner = self.lock();
        let counters: Vec<_> = inner.copies.iter().map(|copy| copy.snapshot()).collect();
        let total = counters.iter().map(|counters| counters.total).sum::<u64>().max(inner.expected);
        State {
            phase: inner.phase,
            bytes_done: counters.iter().map(|counters| counters.done).sum(),
            bytes_total: (total > 0).then_some(total),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
