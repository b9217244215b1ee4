//! Coalescing: the layers of a disk, each with the differences from the one below, are merged into
//! one file (S36, S39).

use std::time::Duration;

use crate::{
    error::{Code, Error},
    instance::{Instance, Power},
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};

/// The time limit of a merge, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoalesceTimeout(u32);

/// The number of seconds is not a time limit of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} s is not a time limit of a merge; give {min} to {max} seconds", min = CoalesceTimeout::MIN_S, max = CoalesceTimeout::MAX_S)]
pub struct InvalidCoalesceTimeout(pub u64);

impl CoalesceTimeout {
    /// The shortest limit, in seconds.
    pub const MIN_S: u32 = 1;
    /// The longest limit, in seconds: it ends before the task's own deadline does.
    pub const MAX_S: u32 = 20 * 3600;
    /// The default: two hours.
    pub const DEFAULT: Self = Self(2 * 3600);

    /// Checks a number of seconds.
    ///
    /// # Errors
    ///
    /// [`InvalidCoalesceTimeout`] when it is not within [`Self::MIN_S`] and [`Self::MAX_S`].
    pub fn new(seconds: u64) -> Result<Self, InvalidCoalesceTimeout> {
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (Self::MIN_S..=Self::MAX_S).contains(seconds))
            .map(Self)
            .ok_or(InvalidCoalesceTimeout(seconds))
    }

    /// Returns the number of seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// How the layers of disks are merged in a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescePolicy {
    /// Whether the layers of a stopped instance's disk are merged before its image is created, so
    /// that the next image is created faster (S42). Otherwise they are read as one disk and stay.
    pub before_capture: bool,
    /// The time limit of a merge.
    pub timeout: CoalesceTimeout,
}

impl Default for CoalescePolicy {
    fn default() -> Self {
        Self { before_capture: true, timeout: CoalesceTimeout::DEFAULT }
    }
}

/// Refuses to merge the layers of an instance's disk outside of an image creation (S50) unless the
/// instance is ready and off.
///
/// # Errors
///
/// [`Code::InstanceBusy`] when it is not ready, [`Code::InvalidTransition`] when it runs.
pub fn require_mergeable(instance: &Instance) -> Result<(), Error> {
    instance.require_ready()?;
    match instance.power {
        Power::Off | Power::Unknown => Ok(()),
        Power::Running | Power::Paused => Err(Error::new(
            Code::InvalidTransition,
            format!(
                "the instance is {}, and its hypervisor has the layers of its disk open; stop the instance first",
                instance.power
            ),
        )),
    }
}

/// Returns the error of a merge that took too long (S48, S130).
pub fn timed_out(limit: Duration) -> TaskError {
    let seconds = limit.as_secs();
    let context = TaskErrorContext { limit_s: Some(seconds), ..TaskErrorContext::default() };
    let detail = format!("merging the layers of the disk took longer than {seconds} s");
    TaskError::new(TaskErrorCode::CoalesceTimeout, detail).with(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bounded() {
        assert_eq!(CoalesceTimeout::new(7200), Ok(CoalesceTimeout::DEFAULT));
        for seconds in [0, u64::from(CoalesceTimeout::MAX_S) + 1, u64::MAX] {
            assert_eq!(CoalesceTimeout::new(seconds), Err(InvalidCoalesceTimeout(seconds)));
        }
    }

    #[test]
    fn a_timeout_says_to_wait_and_only_a_repeated_one_what_else_helps() {
        let first = timed_out(Duration::from_secs(60));
        assert_eq!(
            (first.code(), first.is_retryable(), first.is_retried()),
            ("coalesce_timeout", true, false)
        );
        assert!(first.customer_detail().contains("the limit is 60 s"), "{first:?}");
        assert!(first.customer_action().contains("send the request again"), "{first:?}");
        assert!(!first.customer_action().contains("file-system activity"), "{first:?}");
        let action = first.repeated().customer_action();
        assert!(action.contains("limit file-system activity while imaging"), "{action}");
    }
}
