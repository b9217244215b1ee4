//! The one step of the pipeline that happens in the order of the disk.
//!
//! A worker hands in what it knows of its window and goes on with another one. Whoever hands in the
//! next window in the order takes all steps that have become possible; the workers collect their
//! placements when they need the buffers back.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{
    digest::DigestBuilder,
    transfer::place::{Empty, Placer, Unit},
};

/// What the ordered step works on.
pub(super) struct Shared {
    pub(super) logical: DigestBuilder,
    pub(super) stored_prefix: DigestBuilder,
    pub(super) placer: Option<Placer>,
    /// Up to where the file is accounted for, where it is the disk.
    pub(super) position: u64,
    pub(super) data_bytes: u64,
    pub(super) written: u64,
}

/// What a worker knows of a window.
pub(super) struct Submission {
    /// First cluster of the window.
    pub(super) cluster: u64,
    /// Leaf of each cluster; `None` is a cluster of zeroes.
    pub(super) leaves: Vec<Option<[u8; 32]>>,
    /// What is to be placed.
    pub(super) units: Vec<Unit>,
    /// There is something to write when its turn has come.
    pub(super) has_output: bool,
    /// Where the window's bytes would be, if the file is the disk.
    pub(super) at: u64,
    /// The part of the file that the window answers for. Not set where gaps are filled.
    pub(super) run: (u64, u64),
    /// File ranges that stay empty.
    pub(super) empty: Empty,
    /// Tables between the units.
    pub(super) inserts: Vec<Insert>,
}

/// Bytes of the format's own between the units.
pub(super) struct Insert {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// Another worker failed: there is nothing left to do.
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
    /// Where a sink that takes every byte in turn is.
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

    /// Hands in a window, and takes every step whose turn has come. When one fails, nobody gets on
    /// any more.
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

    /// The placements of a window that was handed in with units, if its turn has come.
    pub(super) fn placed(&self, number: u64) -> Option<Submission> {
        self.lock().placed.remove(&number)
    }

    /// The same, once its turn has come.
    pub(super) fn await_placed(&self, number: u64) -> Result<Submission, Stopped> {
        let waiting = |state: &mut State| !state.failed && !state.placed.contains_key(&number);
        let mut state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.placed.remove(&number).filter(|_| !state.failed).ok_or(Stopped)
    }

    /// Whether it is the turn of what comes at this place of the file.
    pub(super) fn is_write_position(&self, at: u64) -> bool {
        self.lock().write_position == at
    }

    /// Waits for that.
    pub(super) fn await_write_position(&self, at: u64) -> Result<(), Stopped> {
        let waiting = |state: &mut State| !state.failed && state.write_position != at;
        let state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.failed { Err(Stopped) } else { Ok(()) }
    }

    /// It is the turn of what comes at this place of the file.
    pub(super) fn set_write_position(&self, at: u64) {
        self.lock().write_position = at;
        self.changed.notify_all();
    }

    /// Adds to the bytes that were written.
    pub(super) fn count_written(&self, bytes: u64) {
        self.lock().shared.written += bytes;
    }

    /// Lets everybody who has_output for a turn give up.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    /// Lets everybody give up when the thread that holds this panics: its turn would never come.
    pub(super) fn fail_on_panic(&self) -> FailOnPanic<'_> {
        FailOnPanic(self)
    }

    pub(super) fn into_shared(self) -> Shared {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).shared
    }

    /// A panic of another holder makes the whole operation fail, so what it left behind is not used.
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
