//! The one step of the pipeline that happens in the order of the disk.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::{digest::DigestBuilder, place::Placer};

/// What the ordered step works on.
pub(super) struct Shared {
    pub(super) logical: DigestBuilder,
    pub(super) stored_prefix: DigestBuilder,
    pub(super) placer: Option<Placer>,
    pub(super) data_bytes: u64,
    pub(super) written: u64,
}

/// Another worker failed: there is nothing left to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

/// Lets workers through one after the other, by the number of their window.
pub(super) struct Ordered {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    next: u64,
    failed: bool,
    shared: Shared,
}

impl Ordered {
    pub(super) fn new(shared: Shared) -> Self {
        Self { state: Mutex::new(State { next: 0, failed: false, shared }), moved: Condvar::new() }
    }

    /// Waits for this window's turn and runs `step`. When it fails, nobody gets a turn any more.
    pub(super) fn turn<T, E: From<Stopped>>(
        &self,
        number: u64,
        step: impl FnOnce(&mut Shared) -> Result<T, E>,
    ) -> Result<T, E> {
        let state = self.state.lock().expect("no holder of this lock panics");
        let waiting = |state: &mut State| state.next != number && !state.failed;
        let mut state = self.moved.wait_while(state, waiting).expect("no holder of this lock panics");
        if state.failed {
            return Err(Stopped.into());
        }
        let outcome = step(&mut state.shared);
        state.next += 1;
        state.failed = outcome.is_err();
        drop(state);
        self.moved.notify_all();
        outcome
    }

    /// Lets everybody who waits for a turn give up.
    pub(super) fn fail(&self) {
        // A panic of the holder is a failure as well, and its state is not used any more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
        self.moved.notify_all();
    }

    /// Lets everybody give up when the thread that holds this panics: its turn would never come.
    pub(super) fn fail_on_panic(&self) -> FailOnPanic<'_> {
        FailOnPanic(self)
    }

    pub(super) fn into_shared(self) -> Shared {
        self.state.into_inner().expect("no holder of this lock panics").shared
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
