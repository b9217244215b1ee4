//! Time and randomness of the system.

use chrono::{SubsecRound, Utc};
use imprint_domain::time::{Environment, Timestamp};
use rand::Rng;
use uuid::Uuid;

/// The system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    /// Now, in microseconds: what both databases can hold.
    fn now(&self) -> Timestamp {
        Utc::now().trunc_subsecs(6)
    }

    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        rand::rng().fill_bytes(buffer);
    }
}
