//! The one way of this crate to take a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock, also one whose holder panicked.
///
/// Every critical section of this crate leaves its value consistent at each step, and the watchdogs
/// have to thaw a guest even after a panic elsewhere: a poisoned lock must not stop them.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
