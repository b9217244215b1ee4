//! The one step of the pipeline that happens in the order of the disk.
//!
//! A worker submits its window and continues with another one. Whichever worker submits the next
//! window in the order takes all steps that have become possible; the workers collect their
//! placements when they need the buffers back.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{
    digest::DigestBuilder,
    transfer::place::{Empty, Placer, Unit},
};

/// The state that the ordered step updates.
pub(super) struct Shared {
    pub(super) logical: DigestBuilder,
    pub(super) stored_prefix: DigestBuilder,
    pub(super) placer: Option<Placer>,
    /// The file offset up to which the file is accounted for, where it is the disk.
    pub(super) position: u64,
    pub(super) data_bytes: u64,
    pub(super) written: u64,
}

/// A window that a worker submits.
pub(super) struct Submission {
    /// The first cluster of the window.
    pub(super) cluster: u64,
    /// The leaf of each cluster; `None` is a cluster of zeroes.
    pub(super) leaves: Vec<Option<[u8; 32]>>,
    /// The units to place.
    pub(super) units: Vec<Unit>,
    /// Whether there is something to write once the window is placed.
    pub(super) has_output: bool,
    /// The file offset of the window's bytes, if the file is the disk.
    pub(super) at: u64,
    /// The part of the file that the window covers. Not set where gaps are filled.
    pub(super) run: (u64, u64),
    /// The file ranges that stay empty.
    pub(super) empty: Empty,
    /// The tables between the units.
    pub(super) inserts: Vec<Insert>,
}

/// Bytes of the format between the units.
pub(super) struct Insert {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// The error of a worker that stops because another one failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

/// Takes the windows' steps in the order of their numbers. Holds one submission for each buffer of
/// each worker.
pub(super) struct Ordered {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next: u64,
    /// The position of a sink that takes every byte in order.
    write_position: u64,
    failed: bool,
    shared: Shared,
    submitted: BTreeMap<u64, Submission>,
    placed: BTreeMap<u64, Submission>,
}

impl Ordered {
    pub(super) fn new(shared: Shared) -> Self {
        let write_position = shared.position;
        let state = State {
            next: 0,
            write_position,
            failed: false,
            shared,
            submitted: BTreeMap::new(),
            placed: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Submits a window, and takes every step that is next. When one fails, all workers stop.
    pub(super) fn submit<E: From<Stopped>>(
        &self,
        number: u64,
        submission: Submission,
        step: impl Fn(&mut Shared, &mut Submission) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.lock();
        if state.failed {
            return Err(Stopped.into());
        }
        state.submitted.insert(number, submission);
        let first = state.next;
        let mut outcome = Ok(());
        while let Some((number, mut submission)) = state.take_next() {
            outcome = step(&mut state.shared, &mut submission);
            if outcome.is_err() {
                state.failed = true;
                break;
            }
            if submission.has_output {
                state.placed.insert(number, submission);
            }
        }
        let advanced = state.next != first;
        drop(state);
        if advanced {
            self.changed.notify_all();
        }
        outcome
    }

    /// Returns the placements of a window that was submitted with units, if it was placed.
    pub(super) fn placed(&self, number: u64) -> Option<Submission> {
        self.lock().placed.remove(&number)
    }

    /// Waits until a window is placed and returns its placements.
    pub(super) fn await_placed(&self, number: u64) -> Result<Submission, Stopped> {
        let waiting = |state: &mut State| !state.failed && !state.placed.contains_key(&number);
        let mut state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.placed.remove(&number).filter(|_| !state.failed).ok_or(Stopped)
    }

    /// Returns whether `at` is the position of the sink.
    pub(super) fn is_write_position(&self, at: u64) -> bool {
        self.lock().write_position == at
    }

    /// Waits until `at` is the position of the sink.
    pub(super) fn await_write_position(&self, at: u64) -> Result<(), Stopped> {
        let waiting = |state: &mut State| !state.failed && state.write_position != at;
        let state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.failed { Err(Stopped) } else { Ok(()) }
    }

    /// Sets the position of the sink.
    pub(super) fn set_write_position(&self, at: u64) {
        self.lock().write_position = at;
        self.changed.notify_all();
    }

    /// Adds to the number of bytes that were written.
    pub(super) fn count_written(&self, bytes: u64) {
        self.lock().shared.written += bytes;
    }

    /// Stops all workers that wait.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    /// Stops all workers when the thread that holds this panics: its window would never be placed.
    pub(super) fn fail_on_panic(&self) -> FailOnPanic<'_> {
        FailOnPanic(self)
    }

    pub(super) fn into_shared(self) -> Shared {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).shared
    }

    /// A panic of another holder makes the whole operation fail, so its state is not used, and
    /// [`Ordered::fail`] has to work even then.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_next(&mut self) -> Option<(u64, Submission)> {
        let number = self.next;
        let submission = self.submitted.remove(&number)?;
        self.next += 1;
        Some((number, submission))
    }
}

/// See [`Ordered::fail_on_panic`].
pub(super) struct FailOnPanic<'a>(&'a Ordered);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}
