//! The limit of sign-in attempts, against password guessing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The most attempts in one window, for one address and account name.
const MAX_ATTEMPTS: u32 = 10;

/// The most attempts in one window, for one address and all account names.
const MAX_ATTEMPTS_OF_ADDRESS: u32 = 60;

/// The duration of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// The most counters that are kept. Beyond that, those of past windows are dropped, then all.
const MAX_COUNTERS: usize = 10_000;

/// Counts attempts by address and account name.
#[derive(Default)]
pub(crate) struct SignInLimit {
    counters: Mutex<HashMap<(IpAddr, Option<String>), Counter>>,
}

struct Counter {
    since: Instant,
    attempts: u32,
}

impl SignInLimit {
    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// There were too many; the value is the number of seconds until the next attempt.
    pub(crate) fn attempt(&self, address: IpAddr, account: &str, now: Instant) -> Result<(), u64> {
        // Names are only bounded by the size of the body; the first characters distinguish enough.
        let account = account.trim().to_lowercase().chars().take(128).collect::<String>();
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MAX_COUNTERS {
            counters.retain(|_, counter| now.duration_since(counter.since) < WINDOW);
        }
        if counters.len() >= MAX_COUNTERS {
            counters.clear();
        }
        for (key, limit) in
            [((address, Some(account)), MAX_ATTEMPTS), ((address, None), MAX_ATTEMPTS_OF_ADDRESS)]
        {
            let counter = counters.entry(key).or_insert(Counter { since: now, attempts: 0 });
            let elapsed = now.duration_since(counter.since);
            if elapsed >= WINDOW {
                *counter = Counter { since: now, attempts: 0 };
            } else if counter.attempts >= limit {
                return Err(WINDOW.saturating_sub(elapsed).as_secs().max(1));
            }
            counter.attempts = counter.attempts.saturating_add(1);
        }
        Ok(())
    }

    /// Resets the counter of an account after a successful sign-in.
    pub(crate) fn succeeded(&self, address: IpAddr, account: &str) {
        let account = account.trim().to_lowercase().chars().take(128).collect::<String>();
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.remove(&(address, Some(account)));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        time::Instant,
    };

    use super::{MAX_ATTEMPTS, MAX_ATTEMPTS_OF_ADDRESS, SignInLimit, WINDOW};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    #[test]
    fn attempts_are_limited_until_the_window_is_over() {
        let limit = SignInLimit::default();
        let now = Instant::now();
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(limit.attempt(HERE, "admin", now), Ok(()));
        }
        assert_eq!(limit.attempt(HERE, " ADMIN", now), Err(WINDOW.as_secs()));
        assert_eq!(limit.attempt(HERE, "demo", now), Ok(()));
        assert_eq!(limit.attempt(THERE, "admin", now), Ok(()));
        assert_eq!(limit.attempt(HERE, "admin", now + WINDOW), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_many_names() {
        let limit = SignInLimit::default();
        let now = Instant::now();
        let refused = (0..=MAX_ATTEMPTS_OF_ADDRESS)
            .filter(|n| limit.attempt(HERE, &format!("account-{n}"), now).is_err())
            .count();
        assert_eq!(refused, 1);
    }

    #[test]
    fn signing_in_resets_the_attempts() {
        let limit = SignInLimit::default();
        let now = Instant::now();
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(limit.attempt(HERE, "demo", now), Ok(()));
        }
        limit.succeeded(HERE, "demo");
        assert_eq!(limit.attempt(HERE, "demo", now), Ok(()));
    }
}
