//! The limit of sign-in attempts, against password guessing.

use std::net::IpAddr;

use imprint_domain::time::Timestamp;
use imprint_service::{AttemptCounter, RetryAfter};

/// The most attempts in one window, for one address and account name.
const MAX_ATTEMPTS: u32 = 10;

/// The most attempts in one window, for one address and all account names.
const MAX_ATTEMPTS_OF_ADDRESS: u32 = 60;

/// The duration of a window, in seconds.
const WINDOW_S: i64 = 60;

/// An address, and an account name; without it, all names.
type Key = (IpAddr, Option<String>);

/// Counts attempts by address and account name.
pub(crate) struct SignInLimit(AttemptCounter<Key>);

impl Default for SignInLimit {
    fn default() -> Self {
        Self(AttemptCounter::new(WINDOW_S))
    }
}

/// The key of an account name. Names are only bounded by the size of the body; the first characters
/// distinguish enough.
fn key(address: IpAddr, account: &str) -> Key {
    (address, Some(account.trim().to_lowercase().chars().take(128).collect()))
}

impl SignInLimit {
    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// There were too many; the value is the number of seconds until the next attempt.
    pub(crate) fn attempt(&self, address: IpAddr, account: &str, now: Timestamp) -> Result<(), RetryAfter> {
        for (key, limit) in
            [(key(address, account), MAX_ATTEMPTS), ((address, None), MAX_ATTEMPTS_OF_ADDRESS)]
        {
            self.0.check(&key, limit, now)?;
            self.0.count(key, now);
        }
        Ok(())
    }

    /// Resets the counter of an account after a successful sign-in.
    pub(crate) fn succeeded(&self, address: IpAddr, account: &str) {
        self.0.forget(&key(address, account));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use chrono::{DateTime, TimeDelta, Utc};
    use imprint_domain::time::Timestamp;
    use imprint_service::RetryAfter;

    use super::{MAX_ATTEMPTS, MAX_ATTEMPTS_OF_ADDRESS, SignInLimit, WINDOW_S};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn now() -> Timestamp {
        DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn attempts_are_limited_until_the_window_is_over() {
        let limit = SignInLimit::default();
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(limit.attempt(HERE, "admin", now()), Ok(()));
        }
        assert_eq!(limit.attempt(HERE, " ADMIN", now()), Err(RetryAfter(WINDOW_S.unsigned_abs())));
        assert_eq!(limit.attempt(HERE, "demo", now()), Ok(()));
        assert_eq!(limit.attempt(THERE, "admin", now()), Ok(()));
        assert_eq!(limit.attempt(HERE, "admin", now() + TimeDelta::seconds(WINDOW_S)), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_many_names() {
        let limit = SignInLimit::default();
        let refused = (0..=MAX_ATTEMPTS_OF_ADDRESS)
            .filter(|n| limit.attempt(HERE, &format!("account-{n}"), now()).is_err())
            .count();
        assert_eq!(refused, 1);
    }

    #[test]
    fn signing_in_forgets_the_attempts() {
        let limit = SignInLimit::default();
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(limit.attempt(HERE, "demo", now()), Ok(()));
        }
        limit.succeeded(HERE, "demo");
        assert_eq!(limit.attempt(HERE, "demo", now()), Ok(()));
    }
}
