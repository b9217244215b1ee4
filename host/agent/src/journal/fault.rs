//! The hook of the crash tests: it kills the process at a step of a job.
//!
//! With the environment variable `IMPRINT_FAULT=kill@STEP` the process sends itself SIGKILL as soon
//! as the note of that step is durable: the crash tests go through every step that [`fault_steps`]
//! returns. Without the variable the hook does nothing.

use std::env;

use rustix::process::{Signal, getpid, kill_process};

use crate::journal::steps;

/// Returns every step at which `IMPRINT_FAULT=kill@STEP` can end the process.
pub fn fault_steps() -> Vec<&'static str> {
    steps::all().collect()
}

/// The step at which the process kills itself; none without the variable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    at: Option<String>,
}

/// The variable `IMPRINT_FAULT` names no step.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "IMPRINT_FAULT is `{0}`; write kill@STEP with a step of `imprint agent --list-fault-steps`, or unset it"
)]
pub struct FaultError(String);

impl Fault {
    /// Reads the variable.
    ///
    /// # Errors
    ///
    /// Fails when the variable is set and names no step.
    pub(crate) fn from_env() -> Result<Self, FaultError> {
        env::var("IMPRINT_FAULT").map_or_else(|_| Ok(Self::default()), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Result<Self, FaultError> {
        let step = text.strip_prefix("kill@").unwrap_or_default();
        if fault_steps().contains(&step) {
            Ok(Self { at: Some(step.to_owned()) })
        } else {
            Err(FaultError(text.to_owned()))
        }
    }

    /// Kills the process at its step. Called when the note of `step` is durable.
    pub(crate) fn trigger(&self, step: &str) {
        if self.at.as_deref() == Some(step) {
            // If the signal is refused, the crash test fails because nothing crashed.
            kill_process(getpid(), Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn steps_are_unique_and_the_hook_knows_only_them() {
        assert_eq!(fault_steps().iter().collect::<BTreeSet<_>>().len(), fault_steps().len());
        assert_eq!(Fault::parse("kill@upload").map(|fault| fault.at), Ok(Some("upload".to_owned())));
        for wrong in ["", "upload", "kill@", "kill@nowhere", "stop@upload"] {
            assert_eq!(Fault::parse(wrong).map(|_| ()), Err(FaultError(wrong.to_owned())));
        }
        Fault::default().trigger("upload");
    }
}
