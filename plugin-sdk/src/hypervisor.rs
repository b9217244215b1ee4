//! Hypervisors: the conversation around a capture, and what to run for an instance.

use crate::{
    error::Result,
    host::{HypervisorHost, Note},
    types::{Props, ReadLocator},
};

/// Power state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The guest's processors run.
    Running,
    /// The guest's processors are stopped, and can continue.
    Paused,
    /// Stopped by the hypervisor after a failed disk access.
    IoError,
    /// There is no process, or it is about to end.
    Off,
    /// The hypervisor reports a state that the driver does not know.
    Unknown,
}

/// Consistency of a captured disk, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// As after a power cut.
    Crash,
    /// Frozen by the guest agent.
    Filesystem,
    /// Frozen, with the guest's own freeze hooks run.
    Application,
    /// The guest was off.
    Stopped,
}

/// A disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The hypervisor's name of the disk.
    pub id: String,
    /// Whether it is the disk that the instance starts from.
    pub primary: bool,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The format of its file: `raw`, `qcow2`, ...
    pub format: String,
    /// How the guest reaches it: `virtio`, `scsi`, ...
    pub bus: String,
    /// Whether the guest cannot write to it.
    pub read_only: bool,
    /// Whether a thread of its own serves it.
    pub iothread: bool,
    /// More that the hypervisor reports, human-readable.
    pub facts: Props,
}

/// The agent inside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// The agent's version, as it reports it.
    pub version: String,
    /// Whether it can freeze file systems.
    pub can_freeze: bool,
    /// Whether the guest's own freeze hooks run when it does.
    pub hooks: bool,
}

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    /// The instance's id, under which its channels are granted.
    pub id: String,
    /// Its power state.
    pub power: Power,
    /// The version of the hypervisor's process that runs it.
    pub hypervisor_version: String,
    /// The agent inside the guest; `None` when none answers.
    pub guest_agent: Option<AgentInfo>,
    /// All disks.
    pub disks: Vec<Disk>,
    /// More that the hypervisor reports, human-readable.
    pub facts: Props,
}

/// The capture that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureRequest {
    /// The instance's id.
    pub vm_id: String,
    /// Lower-case letters and digits, at most 12: it becomes part of node names.
    pub capture_id: String,
    /// The level to try for.
    pub want: Consistency,
    /// The weakest level that is still a success.
    pub minimum: Consistency,
    /// An empty qcow2 of the disk's virtual size that the hypervisor can reach.
    pub scratch_path: String,
    /// Bytes that the scratch file may grow to.
    pub scratch_limit: u64,
    /// Longest freeze, in milliseconds.
    pub freeze_limit_ms: u32,
}

/// What a capture would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `cbw-snapshot-access`, ...
    pub method: String,
    /// The level to expect.
    pub expected: Consistency,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// Why the expected level is below the wanted one, and other human-readable remarks.
    pub remarks: Vec<String>,
}

/// How the guest was quiesced; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuiesceReport {
    /// The level that was reached.
    pub level: Consistency,
    /// How many file systems the agent froze.
    pub frozen_filesystems: u32,
    /// How long the call took that froze them.
    pub freeze_ms: u32,
    /// How long they were frozen.
    pub frozen_total_ms: u32,
    /// How long the guest's processors were stopped.
    pub vm_stopped_ms: u32,
    /// Why the level is below the wanted one, human-readable; `None` when it is not.
    pub downgraded_because: Option<String>,
}

/// A capture that can now be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedCapture {
    /// Where the frozen point in time is served.
    pub source: ReadLocator,
    /// What it serves: `raw` for a block export, or a format name.
    pub content: String,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// How the guest was quiesced.
    pub quiesce: QuiesceReport,
    /// How the point in time was taken: `cbw-snapshot-access`, ...
    pub method: String,
}

/// The state of a capture that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// The instance's power state.
    pub power: Power,
    /// Bytes that the scratch file has grown to.
    pub scratch_used: u64,
    /// Why the snapshot is lost, human-readable; `None` while it is not.
    pub broken: Option<String>,
}

/// How a capture ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is stored.
    Commit,
    /// The image is not stored: merge back whatever was set aside.
    Discard,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The instance's power state afterwards.
    pub power: Power,
    /// What was done, one entry for each action, for the log.
    pub actions: Vec<String>,
}

/// A disk of an instance to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// The path of its file on the hypervisor.
    pub path: String,
    /// The format of its file: `raw`, `qcow2`, ...
    pub format: String,
    /// Whether the guest cannot write to it.
    pub read_only: bool,
    /// The serial number that the guest sees.
    pub serial: String,
}

/// An instance to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSpec {
    /// The instance's id, under which its channels are granted.
    pub id: String,
    /// The instance's name, human-readable.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The first is the primary disk.
    pub disks: Vec<DiskSpec>,
    /// CD-ROM images.
    pub cdroms: Vec<DiskSpec>,
    /// Paths that the host chose for the process to create: `qmp`, `qga`, `console`, `pidfile`.
    pub paths: Props,
    /// `accelerator`, `machine`, `iothread`, ...
    pub options: Props,
}

/// A process that the host's agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The plain name of the program, which the operator approved.
    pub program: String,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Props,
}

/// Changes of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Asks the guest to shut down, and returns at once.
    Shutdown,
    /// Ends the instance without the guest's help.
    PowerOff,
    /// Lets a paused guest continue.
    Resume,
}

/// A hypervisor driver. Each function stands alone: it opens its channels, does its work and closes
/// them.
///
/// # Errors
///
/// The class of an error decides what the host does: [`Error::transient`](crate::error::Error) is
/// retried, a refusal of the host (`plugin.denied`) is passed on by `?` with its code.
pub trait Hypervisor: 'static {
    /// Returns the programs that the driver needs, with the lowest version of each.
    fn requirements() -> Vec<(String, String)>;
    /// Returns an instance as it is now.
    ///
    /// # Errors
    ///
    /// `not-found` for an instance that does not exist, and what its channels answer.
    fn describe(host: &dyn HypervisorHost, vm_id: &str) -> Result<Vm>;
    /// Checks whether a capture is possible, and returns what to expect of it; changes nothing.
    ///
    /// # Errors
    ///
    /// `unsupported` or `conflict` when the capture is not possible.
    fn plan_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Plan>;
    /// Freezes the guest, takes the point in time, thaws the guest, and serves the disk as it was.
    ///
    /// # Errors
    ///
    /// As [`Self::plan_capture`], and `conflict` when `minimum` was not reached. Nothing stays
    /// behind.
    fn begin_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<StartedCapture>;
    /// Returns how a capture is doing; called about once a second while the host copies.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn capture_status(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str) -> Result<CaptureStatus>;
    /// Removes everything that the capture added. Idempotent.
    ///
    /// # Errors
    ///
    /// What the channels answer; the host calls it again.
    fn end_capture(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str, outcome: Outcome) -> Result<()>;
    /// Undoes whatever a lost capture left behind, by its notes. Idempotent.
    ///
    /// # Errors
    ///
    /// What the channels answer; the host calls it again.
    fn recover(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str, notes: &[Note])
    -> Result<Recovered>;
    /// Returns the process to run for an instance.
    ///
    /// # Errors
    ///
    /// `invalid-input` or `unsupported` for a specification that this driver cannot run.
    fn define(host: &dyn HypervisorHost, spec: &VmSpec) -> Result<Launch>;
    /// Changes an instance's power, and returns its state afterwards.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn set_power(host: &dyn HypervisorHost, vm_id: &str, action: PowerAction) -> Result<Power>;
}

/// The serial of the medium in the drive that [`Devices::change_medium`] is about.
pub const MEDIUM_SERIAL: &str = "medium";

/// A driver that changes the devices of running instances. A device is known by the serial that the
/// guest sees.
///
/// # Errors
///
/// As for [`Hypervisor`]; `conflict` where the guest does not release a device.
pub trait Devices: Hypervisor {
    /// Puts a medium into the drive instead of what is in it, whatever the guest says; `None`
    /// ejects. Idempotent.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn change_medium(host: &dyn HypervisorHost, vm_id: &str, medium: Option<&DiskSpec>) -> Result<()>;
    /// Attaches a disk, unless one with its serial is there.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn attach_disk(host: &dyn HypervisorHost, vm_id: &str, disk: &DiskSpec) -> Result<()>;
    /// Detaches a disk if it is there, and returns when nothing of it is open any more.
    ///
    /// # Errors
    ///
    /// What the channels answer; `conflict` when the guest keeps the disk.
    fn detach_disk(host: &dyn HypervisorHost, vm_id: &str, serial: &str) -> Result<()>;
}

/// How far a guest is with giving back space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaiming {
    /// It goes on.
    Running,
    /// The guest has ended it, or does nothing of the kind.
    Ended,
    /// Nobody in the guest can be asked, or it refuses.
    Unavailable,
}

/// A driver that asks running guests to give back the space that their file systems do not use any
/// more, so that the file of the disk shrinks.
///
/// # Errors
///
/// As for [`Hypervisor`]. A guest that does not answer is no error.
pub trait Reclaim: Hypervisor {
    /// Asks the guest, and waits a few seconds for the end at most. What has begun continues in the
    /// guest, whatever becomes of the capture that it was begun for.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn start_reclaim(host: &dyn HypervisorHost, vm_id: &str) -> Result<Reclaiming>;
    /// Returns whether it still goes on; asked about once a second.
    ///
    /// # Errors
    ///
    /// What the channels answer.
    fn reclaim_status(host: &dyn HypervisorHost, vm_id: &str) -> Result<Reclaiming>;
}
