//! Time and fresh ids, handed in from outside so that tests hold the clock.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// An instant, UTC; printed as RFC 3339 with `Z`.
pub type Timestamp = DateTime<Utc>;

/// Where time and randomness come from. One implementation reads the system, one is held by tests.
pub trait Context: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// A fresh UUIDv7 of now.
    fn new_uuid(&self) -> Uuid;
    /// Fills `buffer` with bytes that nobody can guess.
    fn fill_random(&self, buffer: &mut [u8]);
}
