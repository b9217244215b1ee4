//! Pauses between the attempts of one request.

use std::time::Duration;

use rand::RngExt as _;

/// The longest first pause, which doubles for each further one, and the longest pause of all.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// The attempts that are left, and the pauses before them: random, so that many clients do not
/// return at once, up to a bound that doubles.
#[derive(Debug)]
pub struct Backoff {
    left: u32,
    most: Duration,
}

impl Backoff {
    /// Returns the pauses of a request that is made at most `attempts` times.
    pub fn new(attempts: u32) -> Self {
        Self { left: attempts.saturating_sub(1), most: FIRST }
    }

    /// Returns the pause before the next attempt; `None` after the last one. It is at least as long
    /// as the server asks for, up to ten seconds.
    #[expect(clippy::disallowed_methods, reason = "the length of a pause is nothing that tests compare")]
    pub fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let random = rand::rng().random_range(self.most / 2..=self.most);
        self.most = (self.most * 2).min(LONGEST);
        Some(asked.map_or(random, |asked| asked.min(LONGEST).max(random)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_attempts_end() {
        let mut backoff = Backoff::new(9);
        let pauses: Vec<Duration> = std::iter::from_fn(|| backoff.pause(None)).collect();
        assert_eq!(pauses.len(), 8);
        for (index, pause) in (0..).zip(&pauses) {
            let most = (FIRST * (1 << index)).min(LONGEST);
            assert!(*pause >= most / 2 && *pause <= most, "{pause:?} of {most:?}");
        }
        assert_eq!(Backoff::new(1).pause(None), None);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_and_not_for_an_endless_one() {
        let pause = |asked| Backoff::new(2).pause(Some(asked));
        assert_eq!(pause(Duration::from_secs(3)), Some(Duration::from_secs(3)));
        assert_eq!(pause(Duration::from_secs(3600)), Some(LONGEST));
        assert!(pause(Duration::ZERO) >= Some(FIRST / 2));
    }
}
