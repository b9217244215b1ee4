//! Names inside QEMU and in the journal.

use crate::error::Fault;

/// Everything that this driver creates inside QEMU starts with this.
pub(crate) const PREFIX: &str = "imprint-";

/// Longest capture id: QEMU's node names end at 31 characters, and ours are `imprint-<id>-scrf`.
const MAX_CAPTURE_ID: usize = 12;

/// The nodes and the export of one capture.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The scratch's qcow2 node.
    pub(crate) scratch: String,
    /// The scratch's file node.
    pub(crate) scratch_file: String,
    /// The copy-before-write filter.
    pub(crate) filter: String,
    /// The snapshot-access node.
    pub(crate) access: String,
    /// The export's id.
    pub(crate) export: String,
}

impl Names {
    pub(crate) fn new(capture_id: &str) -> Result<Self, Fault> {
        let well_formed = (1..=MAX_CAPTURE_ID).contains(&capture_id.len())
            && capture_id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !well_formed {
            return Err(Fault::Invalid {
                what: "capture id",
                problem: format!("use 1 to {MAX_CAPTURE_ID} lower-case letters and digits"),
            });
        }
        let name = |part: &str| format!("{PREFIX}{capture_id}-{part}");
        Ok(Self {
            scratch: name("scr"),
            scratch_file: name("scrf"),
            filter: name("cbw"),
            access: name("sa"),
            export: name("exp"),
        })
    }
}

/// What NBD clients ask for.
pub(crate) const EXPORT_NAME: &str = "disk";

/// Journal steps, in the order of a capture. Each is on disk BEFORE what it announces, except those
/// in the past tense, which confirm what recovery must then leave alone.
///
/// Only `resuming` is written while the guest is stopped: a note costs a sync of the journal's
/// disk.
///
/// | step | announces | recovery |
/// |---|---|---|
/// | `adding-scratch` | the scratch file is opened by QEMU | remove its node |
/// | `starting-server` | QEMU's NBD server starts on our socket | stop it, unless others use it |
/// | `server-refused` | (confirms) another server runs already | leave the server alone |
/// | `freezing` | the guest's file systems are frozen | thaw |
/// | `inserting-filter` | the filter goes between device and disk (`root`, `device`) | put the disk back |
/// | `stopping` | the virtual processors stop | resume |
/// | `resuming` | the virtual processors continue | resume if they did not |
/// | `resumed` | they run; the thaw comes next | a guest that is paused now was paused by others |
/// | `thawed` | the file systems are thawed | a guest that is frozen now was frozen by others |
/// | `exporting` | the point in time is exported | remove the export |
/// | `ending` | everything is taken down | take it down |
/// | `ended` | it is down; the NBD server is not ours any more | nothing |
pub(crate) mod step {
    pub(crate) const ADDING_SCRATCH: &str = "adding-scratch";
    pub(crate) const STARTING_SERVER: &str = "starting-server";
    pub(crate) const SERVER_REFUSED: &str = "server-refused";
    pub(crate) const FREEZING: &str = "freezing";
    pub(crate) const INSERTING_FILTER: &str = "inserting-filter";
    pub(crate) const STOPPING: &str = "stopping";
    pub(crate) const RESUMING: &str = "resuming";
    pub(crate) const RESUMED: &str = "resumed";
    pub(crate) const THAWED: &str = "thawed";
    pub(crate) const EXPORTING: &str = "exporting";
    pub(crate) const ENDING: &str = "ending";
    pub(crate) const ENDED: &str = "ended";
}
