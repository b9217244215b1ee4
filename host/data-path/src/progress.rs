//! Counters that a running job keeps, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far a job is. Share it through an `Arc` and read it as often as you like.
///
/// `total` and `done` count virtual bytes that hold data in the source's map (zeroes and holes cost nothing and count
/// nothing). `read` and `written` count what moved natively: compared with the bytes that the plugin runtime counts at
/// its boundary, they give the share that crossed the sandbox.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
}

/// The counters at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Virtual bytes with data, in all.
    pub total: u64,
    /// Of those, finished.
    pub done: u64,
    /// Read from the sources.
    pub read: u64,
    /// Written to the destination.
    pub written: u64,
}

impl Progress {
    /// The counters now.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let [total, done, read, written] = [&self.total, &self.done, &self.read, &self.written]
            .map(|counter| counter.load(Ordering::Relaxed));
        ProgressSnapshot { total, done, read, written }
    }

    pub(crate) fn start(&self, total: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn moved_in(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn moved_out(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }
}
