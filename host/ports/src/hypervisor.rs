//! The port to hypervisors (`imprint:hypervisor` in WIT).

use std::path::PathBuf;

use async_trait::async_trait;

use crate::{Consistency, PortError, Props};

/// Power state of an instance, as its hypervisor sees it: one more than the product's, which shows
/// an instance that stopped after a failed disk access as paused.
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

/// A disk of an instance.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct VmDisk {
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
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct AgentInfo {
    pub version: String,
    pub can_freeze: bool,
    pub hooks: bool,
}

/// An instance, as its hypervisor sees it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct Vm {
    pub id: String,
    pub power: Power,
    pub hypervisor_version: String,
    pub guest_agent: Option<AgentInfo>,
    pub disks: Vec<VmDisk>,
    pub facts: Props,
}

/// What shall be captured, and how.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The instance, by the name under which its channels are granted.
    pub vm_id: String,
    /// Lower-case letters and digits, at most 12.
    pub capture_id: String,
    /// The level to try for.
    pub want: Consistency,
    /// The weakest level that is a success.
    pub minimum: Consistency,
    /// An empty qcow2 of the disk's virtual size.
    pub scratch_path: PathBuf,
    /// Bytes that the scratch file may grow to.
    pub scratch_limit: u64,
    /// Longest freeze, in milliseconds.
    pub freeze_limit_ms: u32,
}

/// What a capture would do.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct Plan {
    pub method: String,
    pub expected: Consistency,
    pub virtual_size: u64,
    pub remarks: Vec<String>,
}

/// How the guest was quiesced; times in milliseconds.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "documented in wit/hypervisor")]
pub struct QuiesceReport {
    pub level: Consistency,
    pub frozen_filesystems: u32,
    pub freeze_ms: u32,
    pub frozen_total_ms: u32,
    pub vm_stopped_ms: u32,
    pub downgraded_because: Option<String>,
}

/// An NBD export on a unix socket in a folder that the host owns.
#[derive(Clone, Debug)]
pub struct NbdSource {
    /// The socket, resolved from the plugin's endpoint id by the host.
    pub socket: PathBuf,
    /// Name of the export.
    pub export: String,
    /// Meta contexts worth negotiating.
    pub meta_contexts: Vec<String>,
    /// Connections that the server takes at once.
    pub max_connections: u16,
}

/// A capture that can now be read.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Where the frozen point in time is served.
    pub source: NbdSource,
    /// What it serves: `raw`, or a format name.
    pub content: String,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// How the guest was quiesced.
    pub quiesce: QuiesceReport,
    /// For the record: `cbw-snapshot-access`, ...
    pub method: String,
}

/// How a running capture is doing.
#[derive(Clone, Debug)]
pub struct CaptureStatus {
    /// Of the instance.
    pub power: Power,
    /// Bytes of scratch.
    pub scratch_used: u64,
    /// Why the snapshot is lost, if it is.
    pub broken: Option<String>,
}

/// How a capture ends for the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is stored.
    Commit,
    /// It is not: merge back whatever was set aside.
    Discard,
}

/// What recovery found and did.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Of the instance, afterwards.
    pub power: Power,
    /// For the log.
    pub actions: Vec<String>,
}

/// A disk of an instance to be started.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiskSpec {
    pub path: PathBuf,
    pub format: String,
    pub read_only: bool,
    pub serial: String,
}

/// An instance to be started.
#[derive(Clone, Debug)]
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
    /// CD-ROM images, such as the seed.
    pub cdroms: Vec<DiskSpec>,
    /// `qmp`, `qga`, `console`, `pidfile`: chosen by the host.
    pub paths: Props,
    /// `accelerator`, `machine`, `iothread`, ...
    pub options: Props,
}

/// A process that the agent runs.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Launch {
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: Props,
}

/// Changes of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Asks the guest.
    Shutdown,
    /// Pulls the plug.
    PowerOff,
    /// Lets a paused guest go on.
    Resume,
}

/// A note that a driver writes before a risky step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalNote {
    /// Name of the step: `freezing`, `stopping`, `inserting-filter`, ...
    pub step: String,
    /// What recovery needs to know.
    pub data: Props,
}

/// The journal of one piece of work. [`Journal::record`] returns when the note is on disk.
pub trait Journal: Send + Sync {
    /// Appends a note durably.
    fn record(&self, note: &JournalNote) -> std::io::Result<()>;
    /// All notes so far, oldest first.
    fn notes(&self) -> Vec<JournalNote>;
}

/// The journal as it is handed around: a call may keep it for its own duration.
pub type SharedJournal = std::sync::Arc<dyn Journal>;

/// A hypervisor driver.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Programs that it needs, with the lowest version of each.
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError>;
    /// An instance as it is now.
    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError>;
    /// Gates and expectations; changes nothing.
    async fn plan_capture(&self, request: &CaptureRequest) -> Result<Plan, PortError>;
    /// Freezes, takes the point in time, thaws, and serves it.
    async fn begin_capture(
        &self,
        request: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<Begun, PortError>;
    /// Asked about once a second while copying.
    async fn capture_status(&self, vm_id: &str, capture_id: &str) -> Result<CaptureStatus, PortError>;
    /// Takes everything down. Idempotent.
    async fn end_capture(
        &self,
        vm_id: &str,
        capture_id: &str,
        outcome: Outcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError>;
    /// Undoes whatever a lost capture left behind. Idempotent.
    async fn recover(
        &self,
        vm_id: &str,
        capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError>;
    /// What to run for an instance.
    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError>;
    /// Changes an instance's power.
    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError>;
}
