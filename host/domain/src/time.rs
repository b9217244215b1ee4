//! Time and fresh ids, passed in from outside so that tests control the clock.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// An instant, UTC; printed as RFC 3339 with `Z`.
pub type Timestamp = DateTime<Utc>;

/// The source of time and randomness. One implementation asks the operating system; tests have one
/// that they control.
pub trait Environment: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
    /// Returns a fresh UUIDv7 of the current time.
    fn new_uuid(&self) -> Uuid;
    /// Fills `buffer` with bytes that cannot be guessed.
    fn fill_random(&self, buffer: &mut [u8]);
}
