//! Coalescing: a disk that is a chain of layers, each with the differences from the one below,
//! becomes one file (S36, S39).

use std::time::Duration;

use crate::{
    error::{Code, Error},
    instance::{Instance, Power},
    task::TaskError,
};

/// How long a merge may take, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoalesceTimeout(u32);

/// Not a time that a merge can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} s is not a time limit of a merge; give {min} to {max} seconds", min = CoalesceTimeout::MIN_S, max = CoalesceTimeout::MAX_S)]
pub struct BadCoalesceTimeout(pub u64);

impl CoalesceTimeout {
    /// The shortest, in seconds.
    pub const MIN_S: u32 = 1;
    /// The longest, in seconds: it ends before the task's own deadline does.
    pub const MAX_S: u32 = 20 * 3600;
    /// Two hours.
    pub const DEFAULT: Self = Self(2 * 3600);

    /// Takes a number of seconds.
    pub fn new(seconds: u64) -> Result<Self, BadCoalesceTimeout> {
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (Self::MIN_S..=Self::MAX_S).contains(seconds))
            .map(Self)
            .ok_or(BadCoalesceTimeout(seconds))
    }

    /// In seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// How chains are merged in a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescePolicy {
    /// The chain of a stopped instance is merged before its image is created, so that the next one
    /// is faster (S42). Without it the chain is read as one disk and stays.
    pub before_capture: bool,
    /// How long a merge may take.
    pub timeout: CoalesceTimeout,
}

impl Default for CoalescePolicy {
    fn default() -> Self {
        Self { before_capture: true, timeout: CoalesceTimeout::DEFAULT }
    }
}

/// Judges a merge outside of an image creation (S50): the instance must be ready, and off.
pub fn require_mergeable(instance: &Instance) -> Result<(), Error> {
    instance.require_ready()?;
    match instance.power {
        Power::Off | Power::Unknown => Ok(()),
        Power::Running | Power::Paused => Err(Error::new(
            Code::InvalidTransition,
            format!(
                "the instance is {}, and its hypervisor holds the layers of its disk open; stop the instance first",
                instance.power.as_str()
            ),
        )),
    }
}

/// What is said when a merge took too long (S48, S130).
pub fn timed_out(limit: Duration) -> TaskError {
    let detail = format!(
        "merging the layers of the disk took longer than {} s, and nothing was changed; wait and send the request again",
        limit.as_secs()
    );
    TaskError { code: Code::CoalesceTimeout.as_str().to_owned(), detail, retryable: true }
}

/// The same, when it happened to this instance before: what helps beside waiting (S49, S50).
#[must_use]
pub fn timed_out_again(mut error: TaskError) -> TaskError {
    error.detail.push_str(
        "; as this has happened before, limit file-system activity while imaging, or ask the provider to run the coalesce \
         outside of an image creation",
    );
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bounded() {
        assert_eq!(CoalesceTimeout::new(7200), Ok(CoalesceTimeout::DEFAULT));
        for seconds in [0, u64::from(CoalesceTimeout::MAX_S) + 1, u64::MAX] {
            assert_eq!(CoalesceTimeout::new(seconds), Err(BadCoalesceTimeout(seconds)));
        }
    }

    #[test]
    fn a_timeout_says_to_wait_and_only_a_repeated_one_what_else_helps() {
        let first = timed_out(Duration::from_secs(60));
        assert_eq!((first.code.as_str(), first.retryable), ("coalesce_timeout", true));
        assert!(first.detail.contains("longer than 60 s") && first.detail.contains("send the request again"));
        assert!(!first.detail.contains("file-system activity"));
        assert!(timed_out_again(first).detail.contains("limit file-system activity while imaging"));
    }
}
