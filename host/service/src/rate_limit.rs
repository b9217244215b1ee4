//! Counts attempts, such as failed sign-ins, in fixed windows of time.
//!
//! The crate `governor` does not do this: it counts an attempt when it checks the limit, and cannot
//! forget a key. Here only failures count, and a success resets the counter.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;
use imprint_domain::time::Timestamp;

/// The most keys with a counter. Beyond it the counters whose window is over are removed, and if
/// that is not enough, all.
const MAX_KEYS: usize = 10_000;

/// Attempts by key. A key's window starts with its first attempt.
pub struct AttemptCounter<K> {
    window: TimeDelta,
    counters: Mutex<HashMap<K, Counter>>,
}

#[derive(Clone, Copy)]
struct Counter {
    since: Timestamp,
    attempts: u32,
}

/// The limit of attempts is reached; the number of seconds until the next one is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

impl<K: Eq + Hash> AttemptCounter<K> {
    /// Builds a counter with windows of that many seconds.
    pub fn new(window_s: i64) -> Self {
        Self { window: TimeDelta::seconds(window_s), counters: Mutex::default() }
    }

    /// Checks that fewer attempts than `limit` were counted in the key's current window.
    ///
    /// # Errors
    ///
    /// [`RetryAfter`] with the rest of the window when the limit is reached.
    pub fn check<Q>(&self, key: &Q, limit: u32, now: Timestamp) -> Result<(), RetryAfter>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        match self.counters().get(key) {
            Some(counter) if self.is_open(counter, now) && counter.attempts >= limit => {
                let rest = (self.window - (now - counter.since)).num_seconds();
                Err(RetryAfter(u64::try_from(rest).unwrap_or(0).max(1)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts an attempt.
    pub fn count(&self, key: K, now: Timestamp) {
        let mut counters = self.counters();
        if counters.len() >= MAX_KEYS {
            counters.retain(|_, counter| self.is_open(counter, now));
        }
        if counters.len() >= MAX_KEYS {
            counters.clear();
        }
        let fresh = Counter { since: now, attempts: 0 };
        let counter = counters.entry(key).or_insert(fresh);
        if !self.is_open(counter, now) {
            *counter = fresh;
        }
        counter.attempts = counter.attempts.saturating_add(1);
    }

    /// Removes the key's counter.
    pub fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.counters().remove(key);
    }

    /// A counter from the future belongs to a clock that was set back.
    fn is_open(&self, counter: &Counter, now: Timestamp) -> bool {
        let age = now - counter.since;
        age >= TimeDelta::zero() && age < self.window
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<K, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        DateTime::<Utc>::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_key_is_refused_from_the_limit_until_its_window_is_over() {
        let counter = AttemptCounter::<String>::new(60);
        for second in 0..3 {
            assert_eq!(counter.check("a", 3, at(second)), Ok(()));
            counter.count("a".to_owned(), at(second));
        }
        assert_eq!(counter.check("a", 3, at(10)), Err(RetryAfter(50)));
        assert_eq!(counter.check("b", 3, at(10)), Ok(()));
        assert_eq!(counter.check("a", 3, at(60)), Ok(()));
        counter.count("a".to_owned(), at(60));
        assert_eq!(counter.check("a", 1, at(61)), Err(RetryAfter(59)));
    }

    #[test]
    fn a_success_resets_the_counter() {
        let counter = AttemptCounter::<String>::new(60);
        counter.count("a".to_owned(), at(0));
        counter.forget("a");
        assert_eq!(counter.check("a", 1, at(0)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_no_key() {
        let counter = AttemptCounter::<String>::new(60);
        counter.count("a".to_owned(), at(3600));
        assert_eq!(counter.check("a", 1, at(0)), Ok(()));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let counter = AttemptCounter::<u32>::new(60);
        for key in 0..u32::try_from(MAX_KEYS).unwrap() + 10 {
            counter.count(key, at(0));
        }
        assert!(counter.counters().len() <= MAX_KEYS);
    }
}
