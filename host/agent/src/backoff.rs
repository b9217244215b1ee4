//! Pauses between tries to reach the control plane.

use std::time::Duration;

/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Pauses that double up to a bound.
pub(crate) struct Backoff(Duration);

impl Backoff {
    /// Returns pauses that start with the shortest one.
    pub(crate) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// Waits for the next pause.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = self.0.saturating_mul(2).min(LONGEST_PAUSE);
    }
}
