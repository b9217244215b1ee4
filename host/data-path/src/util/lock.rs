//! Locks of the crate; its documentation has the rule for poisoned ones.

use std::sync::{Mutex, MutexGuard};

/// Locks a mutex.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
