//! Hypervisors: the conversation around a capture, and what to run for an instance.

use crate::{
    error::Result,
    host::{HypervisorHost, Note},
    types::{Props, ReadLocator},
};

/// Power state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Power {
    Running,
    Paused,
    /// Stopped by the hypervisor after a failed disk access.
    IoError,
    Off,
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
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct Disk {
    pub id: String,
    pub primary: bool,
    pub virtual_size: u64,
    pub format: String,
    pub bus: String,
    pub read_only: bool,
    pub iothread: bool,
    pub facts: Props,
}

/// The agent inside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct AgentInfo {
    pub version: String,
    pub can_freeze: bool,
    pub hooks: bool,
}

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct Vm {
    pub id: String,
    pub power: Power,
    pub hypervisor_version: String,
    pub guest_agent: Option<AgentInfo>,
    pub disks: Vec<Disk>,
    pub facts: Props,
}

/// What shall be captured, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureRequest {
    /// The instance.
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
    /// Why the expected level is below the wanted one, and other remarks for people.
    pub remarks: Vec<String>,
}

/// How the guest was quiesced; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct QuiesceReport {
    pub level: Consistency,
    pub frozen_filesystems: u32,
    pub freeze_ms: u32,
    pub frozen_total_ms: u32,
    pub vm_stopped_ms: u32,
    pub downgraded_because: Option<String>,
}

/// A capture that can now be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Where the frozen point in time is served.
    pub source: ReadLocator,
    /// What it serves: `raw` for a block export, or a format name.
    pub content: String,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// How the guest was quiesced.
    pub quiesce: QuiesceReport,
    /// For the record.
    pub method: String,
}

/// How a running capture is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// Of the instance.
    pub power: Power,
    /// Bytes of scratch.
    pub scratch_used: u64,
    /// Why the snapshot is lost, if it is.
    pub broken: Option<String>,
}

/// How a capture ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is stored.
    Commit,
    /// It is not: merge back whatever was set aside.
    Discard,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Of the instance, afterwards.
    pub power: Power,
    /// For the log.
    pub actions: Vec<String>,
}

/// A disk of an instance to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiskSpec {
    pub path: String,
    pub format: String,
    pub read_only: bool,
    pub serial: String,
}

/// An instance to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSpec {
    /// Under this name the channels are granted.
    pub id: String,
    /// For people.
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
#[expect(missing_docs, reason = "the names say it")]
pub struct Launch {
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: Props,
}

/// Changes of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Asks the guest, and returns.
    Shutdown,
    /// Pulls the plug.
    PowerOff,
    /// Lets a paused guest go on.
    Resume,
}

/// A hypervisor driver. Each function stands alone: it opens its channels, does its work and closes
/// them.
pub trait Hypervisor: 'static {
    /// Programs that it needs, with the lowest version of each.
    fn requirements() -> Vec<(String, String)>;
    /// An instance as it is now.
    fn describe(host: &dyn HypervisorHost, vm_id: &str) -> Result<Vm>;
    /// Gates and expectations; changes nothing.
    fn plan_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Plan>;
    /// Freezes, takes the point in time, thaws, and serves it.
    fn begin_capture(host: &dyn HypervisorHost, request: &CaptureRequest) -> Result<Begun>;
    /// Asked about once a second while the host copies.
    fn capture_status(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str) -> Result<CaptureStatus>;
    /// Takes everything down. Idempotent.
    fn end_capture(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str, outcome: Outcome) -> Result<()>;
    /// Undoes whatever a lost capture left behind. Idempotent.
    fn recover(host: &dyn HypervisorHost, vm_id: &str, capture_id: &str, notes: &[Note])
    -> Result<Recovered>;
    /// What to run for an instance.
    fn define(host: &dyn HypervisorHost, spec: &VmSpec) -> Result<Launch>;
    /// Changes an instance's power.
    fn set_power(host: &dyn HypervisorHost, vm_id: &str, action: PowerAction) -> Result<Power>;
}
