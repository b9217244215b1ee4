//! Counters that an operation updates while it runs.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What an operation is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Moving the payload.
    #[default]
    Moving,
    /// Measuring the payload, before the first byte of a stream is written.
    Measuring,
    /// Reading back what was written.
    Verifying,
}

/// The counters of an operation. Share them through an `Arc` and read them at any time.
///
/// `total` and `done` count virtual bytes that hold data in the source's map (zeroes and holes cost
/// nothing and count nothing); a stream that is measured first counts twice, and what is read back
/// counts once more when that starts. `read` and `written` count what moved natively: compared with
/// the bytes that the plugin runtime counts at its boundary, they give the share that crossed the
/// sandbox.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    phase: AtomicU8,
}

/// The counters at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressSnapshot {
    /// The total number of virtual bytes with data.
    pub total: u64,
    /// The number of those that are finished.
    pub done: u64,
    /// The number of bytes that were read from the sources.
    pub read: u64,
    /// The number of bytes that were written to the destination.
    pub written: u64,
    /// What the operation is doing.
    pub phase: Phase,
}

impl Progress {
    /// Returns the current counters.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let [total, done, read, written] = [&self.total, &self.done, &self.read, &self.written]
            .map(|counter| counter.load(Ordering::Relaxed));
        let phase = match self.phase.load(Ordering::Relaxed) {
            1 => Phase::Measuring,
            2 => Phase::Verifying,
            _ => Phase::Moving,
        };
        ProgressSnapshot { total, done, read, written, phase }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        let number = match phase {
            Phase::Moving => 0,
            Phase::Measuring => 1,
            Phase::Verifying => 2,
        };
        self.phase.store(number, Ordering::Relaxed);
    }

    /// Adds what another process has counted since its report `before`.
    pub(crate) fn add_remote(&self, before: ProgressSnapshot, now: ProgressSnapshot) {
        let add = |counter: &AtomicU64, before: u64, now: u64| {
            counter.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        };
        add(&self.total, before.total, now.total);
        add(&self.done, before.done, now.done);
        add(&self.read, before.read, now.read);
        add(&self.written, before.written, now.written);
        self.set_phase(now.phase);
    }

    /// Adds virtual bytes with data that are to be processed.
    pub fn add_total(&self, total: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
    }

    /// Counts virtual bytes that are finished.
    pub fn count_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }
}
