//! The journal's steps, in one place, and the test hook that kills the process at one of them.
//!
//! A note is on disk BEFORE the step that it announces. With the environment variable
//! `IMPRINT_FAULT=kill@STEP` the process sends itself SIGKILL right after the note of that step is
//! durable: the crash tests walk through every step that [`fault_steps`] lists. Without the
//! variable the hook does nothing.

use std::env;

use rustix::process::{Signal, getpid, kill_process};

/// The work is taken; nothing has happened yet.
pub(crate) const CLAIMED: &str = "claimed";
/// The scratch file (`path`) is made.
pub(crate) const SCRATCH: &str = "scratch";
/// The driver begins the capture: from here on recovery asks it to undo.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// The driver has begun it; the upload is opened next.
pub(crate) const SNAPSHOTTED: &str = "snapshotted";
/// A chain of layers is written as one file, under a name of its own.
pub(crate) const MERGING: &str = "merging";
/// That file takes the place of the top layer; `layers` (a JSON list of file names) are those below
/// it.
pub(crate) const REPLACING: &str = "replacing";
/// It has taken it; layers that nothing refers to are removed.
pub(crate) const REPLACED: &str = "replaced";
/// Bytes begin to move to the storage; `token` (hexadecimal) undoes it.
pub(crate) const UPLOAD: &str = "upload";
/// All bytes are written and durable; the image becomes visible under its key.
pub(crate) const COMMITTING: &str = "committing";
/// It is visible; the driver takes the capture down.
pub(crate) const COMMITTED: &str = "committed";
/// The driver has taken it down: recovery need not ask it.
pub(crate) const DOWN: &str = "down";
/// The folder of a new instance (`instance`) is made.
pub(crate) const NEW_INSTANCE: &str = "new-instance";
/// The process of an instance is started.
pub(crate) const LAUNCHING: &str = "launching";
/// It runs.
pub(crate) const LAUNCHED: &str = "launched";
/// The files of an instance (`instance`) are removed: recovery goes on with it.
pub(crate) const REMOVING: &str = "removing";
/// The end is known and is stored for the report: recovery undoes nothing.
pub(crate) const ENDED: &str = "reporting";

const OF_THE_HOST: [&str; 16] = [
    CLAIMED,
    SCRATCH,
    SNAPSHOT,
    SNAPSHOTTED,
    MERGING,
    REPLACING,
    REPLACED,
    UPLOAD,
    COMMITTING,
    COMMITTED,
    DOWN,
    NEW_INSTANCE,
    LAUNCHING,
    LAUNCHED,
    REMOVING,
    ENDED,
];

/// What the shipped drivers write in every capture of a guest with an agent (`hypervisor-qemu`
/// documents them); other drivers may have others.
const OF_DRIVERS: [&str; 11] = [
    "adding-scratch",
    "starting-server",
    FREEZING,
    "inserting-filter",
    STOPPING,
    "resuming",
    RESUMED,
    THAWED,
    "exporting",
    "ending",
    "ended",
];

/// A driver is about to freeze the guest's file systems; the watchdog counts from here.
pub(crate) const FREEZING: &str = "freezing";
/// They are thawed.
pub(crate) const THAWED: &str = "thawed";
/// A driver is about to stop the guest's processors; the watchdog counts from here.
pub(crate) const STOPPING: &str = "stopping";
/// They run again.
pub(crate) const RESUMED: &str = "resumed";

/// Every step at which `IMPRINT_FAULT=kill@STEP` can end the process.
pub fn fault_steps() -> Vec<&'static str> {
    OF_THE_HOST.into_iter().chain(OF_DRIVERS).collect()
}

/// Where the process kills itself; nowhere without the variable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    at: Option<String>,
}

/// The variable names no step.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "IMPRINT_FAULT is `{0}`; write kill@STEP with a step of `imprint agent --list-fault-steps`, or unset it"
)]
pub struct FaultError(String);

impl Fault {
    /// Reads the variable.
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

    /// Ends the process if this is the step; called when the step's note is durable.
    pub(crate) fn strike(&self, step: &str) {
        if self.at.as_deref() == Some(step) {
            // Nothing can be done about a refusal; the crash test then fails for the want of a
            // crash.
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
        Fault::default().strike("upload");
    }
}
