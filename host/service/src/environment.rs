//! Time and randomness of the system, and a random number generator over any source.

use std::convert::Infallible;

use chrono::{SubsecRound, Utc};
use imprint_domain::time::{Environment, Timestamp};
use rand::{Rng, TryRng};
use uuid::Uuid;

/// The clock and the random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
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

/// A random number generator that takes its numbers from an environment.
pub(crate) struct EnvironmentRng<'a>(pub(crate) &'a dyn Environment);

impl TryRng for EnvironmentRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_random(buffer);
        Ok(())
    }
}
