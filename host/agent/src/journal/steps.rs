//! The steps of jobs that the journal notes. A note is on disk BEFORE the step that it announces.

/// The job has its journal and has done nothing yet.
pub(crate) const CLAIMED: &str = "claimed";
/// The scratch file (`path`) is created.
pub(crate) const SCRATCH: &str = "scratch";
/// The driver starts the capture: from here on the clean-up asks it to undo the capture.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// The driver has started the capture; the upload is opened next.
pub(crate) const SNAPSHOTTED: &str = "snapshotted";
/// A chain of layers is written as one file, under a temporary name.
pub(crate) const MERGING: &str = "merging";
/// That file is renamed to the top layer's name; `layers` is a JSON list of the file names below
/// it.
pub(crate) const REPLACING: &str = "replacing";
/// The file is renamed; layers that nothing refers to are removed.
pub(crate) const REPLACED: &str = "replaced";
/// The file of an import arrives on this machine; `known` of its bytes are there already.
pub(crate) const RECEIVING: &str = "receiving";
/// The upload to the storage starts; the storage removes it by its `token` (hexadecimal).
pub(crate) const UPLOAD: &str = "upload";
/// All bytes are durable; the image becomes visible under its key.
pub(crate) const COMMITTING: &str = "committing";
/// The image is visible; the driver ends the capture.
pub(crate) const COMMITTED: &str = "committed";
/// The driver has ended the capture: the clean-up need not ask it.
pub(crate) const DOWN: &str = "down";
/// The folder of a new instance (`instance`) is created.
pub(crate) const NEW_INSTANCE: &str = "new-instance";
/// The new disk of an instance (`instance`) is written beside its present one.
pub(crate) const REINSTALLING: &str = "reinstalling";
/// The devices of an instance (`instance`) are changed: the clean-up brings them back to what the
/// definition says.
pub(crate) const CHANGING_DEVICES: &str = "changing-devices";
/// The process of an instance is started.
pub(crate) const LAUNCHING: &str = "launching";
/// The process of an instance is running.
pub(crate) const LAUNCHED: &str = "launched";
/// The files of an instance (`instance`) are removed: recovery continues with it.
pub(crate) const REMOVING: &str = "removing";
/// The object of a storage's connection test is deleted: nothing of it is left.
pub(crate) const REMOVED: &str = "removed";
/// The outcome is known and is stored for the report: recovery undoes nothing.
pub(crate) const ENDED: &str = "reporting";

const HOST_STEPS: [&str; 20] = [
    CLAIMED,
    SCRATCH,
    SNAPSHOT,
    SNAPSHOTTED,
    MERGING,
    REPLACING,
    REPLACED,
    RECEIVING,
    UPLOAD,
    COMMITTING,
    COMMITTED,
    DOWN,
    NEW_INSTANCE,
    REINSTALLING,
    CHANGING_DEVICES,
    LAUNCHING,
    LAUNCHED,
    REMOVING,
    REMOVED,
    ENDED,
];

/// The steps that the shipped drivers note in every capture of a guest with an agent
/// (`hypervisor-qemu` documents them). Other drivers may have others.
const DRIVER_STEPS: [&str; 11] = [
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

/// A driver is about to freeze the guest's file systems; the watchdog starts.
pub(crate) const FREEZING: &str = "freezing";
/// The file systems are thawed.
pub(crate) const THAWED: &str = "thawed";
/// A driver is about to stop the guest's processors; the watchdog starts.
pub(crate) const STOPPING: &str = "stopping";
/// The processors run again.
pub(crate) const RESUMED: &str = "resumed";

/// Returns every step, of the host and of the shipped drivers.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    HOST_STEPS.into_iter().chain(DRIVER_STEPS)
}
