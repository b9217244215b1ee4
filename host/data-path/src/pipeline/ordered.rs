//! The one step of the pipeline that happens in the order of the disk.
//!
//! A worker hands in what it knows of its window and goes on with another one. Whoever hands in the next window in the order
//! takes all steps that have become possible; the workers collect their placements when they need the buffers back.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{
    digest::DigestBuilder,
    place::{Placer, Unit},
};

/// What the ordered step works on.
pub(super) struct Shared {
    pub(super) logical: DigestBuilder,
    pub(super) stored_prefix: DigestBuilder,
    pub(super) placer: Option<Placer>,
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
    /// Payload bytes that go to the file.
    pub(super) written: u64,
}

/// Another worker failed: there is nothing left to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

/// Takes the windows' steps in the order of their numbers. Holds one submission for each buffer of each worker.
pub(super) struct Ordered {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    next: u64,
    failed: bool,
    shared: Shared,
    submitted: BTreeMap<u64, Submission>,
    placed: BTreeMap<u64, Submission>,
}

impl Ordered {
    pub(super) fn new(shared: Shared) -> Self {
        let state =
            State { next: 0, failed: false, shared, submitted: BTreeMap::new(), placed: BTreeMap::new() };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Hands in a window, and takes every step whose turn has come. When one fails, nobody gets on any more.
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
            if !submission.units.is_empty() {
                state.placed.insert(number, submission);
            }
        }
        let moved = state.next != first;
        drop(state);
        if moved {
            self.moved.notify_all();
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
        let mut state = self.moved.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.placed.remove(&number).filter(|_| !state.failed).ok_or(Stopped)
    }

    /// Lets everybody who waits for a turn give up.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.moved.notify_all();
    }

    /// Lets everybody give up when the thread that holds this panics: its turn would never come.
    pub(super) fn fail_on_panic(&self) -> FailOnPanic<'_> {
        FailOnPanic(self)
    }

    pub(super) fn into_shared(self) -> Shared {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).shared
    }

    /// A panic of another holder makes the whole job fail, so what it left behind is not used.
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
