//! The port to hypervisors (`imprint:hypervisor` in WIT).

use std::{io, path::PathBuf, sync::Arc};

use async_trait::async_trait;

use crate::{Consistency, PortError, Props};

/// The power state of an instance, as its hypervisor reports it.
///
/// It has one state more than the product's own (`imprint_domain::instance::Power`): a driver tells
/// apart a guest that was paused from one that stopped after a failed disk access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The guest runs.
    Running,
    /// The guest's processors are halted.
    Paused,
    /// The hypervisor stopped the guest after a failed disk access.
    IoError,
    /// The guest is off.
    Off,
    /// The hypervisor does not report the state.
    Unknown,
}

/// A disk of an instance.
#[derive(Clone, Debug)]
pub struct VmDisk {
    /// The hypervisor's name of the disk.
    pub id: String,
    /// Whether it is the disk that is captured.
    pub primary: bool,
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The format of the disk's file: `raw`, `qcow2`, ...
    pub format: String,
    /// The bus that the guest sees the disk on: `virtio`, ...
    pub bus: String,
    /// Whether the guest cannot write to the disk.
    pub read_only: bool,
    /// Whether the disk has an I/O thread of its own.
    pub iothread: bool,
    /// Further properties that the driver reports.
    pub facts: Props,
}

/// The guest agent inside an instance.
#[derive(Clone, Debug)]
pub struct AgentInfo {
    /// The version that the guest agent reports.
    pub version: String,
    /// Whether it can freeze the guest's file systems.
    pub can_freeze: bool,
    /// Whether it runs the guest's own freeze hooks.
    pub hooks: bool,
}

/// An instance, as its hypervisor reports it.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The name under which the instance's channels are granted.
    pub id: String,
    /// The power state.
    pub power: Power,
    /// The version of the hypervisor that runs the instance.
    pub hypervisor_version: String,
    /// The guest agent; `None` where none answers.
    pub guest_agent: Option<AgentInfo>,
    /// The disks.
    pub disks: Vec<VmDisk>,
    /// Further properties that the driver reports.
    pub facts: Props,
}

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The name under which the instance's channels are granted.
    pub vm_id: String,
    /// The id of the capture: lower-case letters and digits, at most 12.
    pub capture_id: String,
    /// The consistency level to try for.
    pub want: Consistency,
    /// The weakest consistency level that is a success.
    pub minimum: Consistency,
    /// The path of an empty qcow2 file of the disk's virtual size.
    pub scratch_path: PathBuf,
    /// The size in bytes that the scratch file may grow to.
    pub scratch_limit: u64,
    /// The longest freeze, in milliseconds.
    pub freeze_limit_ms: u32,
}

/// What a capture would do.
#[derive(Clone, Debug)]
pub struct CapturePlan {
    /// How the point in time is taken: `cbw-snapshot-access`, ...
    pub method: String,
    /// The consistency level to expect.
    pub expected: Consistency,
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Human-readable remarks, such as why the expected level is below the wanted one.
    pub remarks: Vec<String>,
}

/// How the guest was quiesced.
#[derive(Clone, Debug)]
pub struct QuiesceReport {
    /// The consistency level that was reached.
    pub level: Consistency,
    /// The number of file systems that were frozen.
    pub frozen_filesystems: u32,
    /// The time that freezing took, in milliseconds.
    pub freeze_ms: u32,
    /// The time from the freeze to the thaw, in milliseconds.
    pub frozen_total_ms: u32,
    /// The time for which the guest was stopped, in milliseconds.
    pub vm_stopped_ms: u32,
    /// Why the level is below the wanted one, if it is.
    pub downgrade_reason: Option<String>,
}

/// An NBD export on a unix socket in a folder that the host owns.
#[derive(Clone, Debug)]
pub struct NbdSource {
    /// The path of the socket, which the host resolved from the plugin's endpoint id.
    pub socket: PathBuf,
    /// The name of the export.
    pub export: String,
    /// The meta contexts worth negotiating.
    pub meta_contexts: Vec<String>,
    /// The number of connections that the server accepts at once.
    pub max_connections: u16,
}

/// A capture whose point in time was taken and can be read.
#[derive(Clone, Debug)]
pub struct StartedCapture {
    /// The export that serves the frozen point in time.
    pub source: NbdSource,
    /// The format of what it serves: `raw`, or another format's name.
    pub content: String,
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// How the guest was quiesced.
    pub quiesce: QuiesceReport,
    /// How the point in time was taken, for the record: `cbw-snapshot-access`, ...
    pub method: String,
}

/// The state of a capture while it is copied.
#[derive(Clone, Debug)]
pub struct CaptureStatus {
    /// The power state of the instance.
    pub power: Power,
    /// The number of bytes that the scratch file takes.
    pub scratch_used: u64,
    /// Why the snapshot is lost, if it is.
    pub broken: Option<String>,
}

/// How a capture ends for the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureOutcome {
    /// The image is stored.
    Commit,
    /// The image is not stored: merge back whatever was set aside.
    Discard,
}

/// What recovery found and did.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The power state of the instance afterwards.
    pub power: Power,
    /// The actions that were taken, for the log.
    pub actions: Vec<String>,
}

/// A disk of an instance that is to be started.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// The path of the disk's file.
    pub path: PathBuf,
    /// The format of the disk's file.
    pub format: String,
    /// Whether the guest cannot write to the disk.
    pub read_only: bool,
    /// The serial number that the guest sees.
    pub serial: String,
}

/// An instance that is to be started.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// The name under which the instance's channels are granted.
    pub id: String,
    /// The human-readable name.
    pub name: String,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of the memory in bytes.
    pub memory_bytes: u64,
    /// The disks; the first is the primary one.
    pub disks: Vec<DiskSpec>,
    /// CD-ROM images, such as the seed. The one in the drive whose medium changes has the serial
    /// [`MEDIUM_SERIAL`].
    pub cdroms: Vec<DiskSpec>,
    /// The paths that the host chose for the process to create: `qmp`, `qga`, `console`, `pidfile`.
    pub paths: Props,
    /// `accelerator`, `machine`, `iothread`, ...
    pub options: Props,
}

/// The serial of the medium in the drive that [`Driver::change_medium`] is about.
pub const MEDIUM_SERIAL: &str = "medium";

/// The process that runs an instance; the agent starts it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The name of a program that the operator approved.
    pub program: String,
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// The environment variables of the process.
    pub environment: Props,
}

/// A change of an instance's power state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Asks the guest to shut down.
    Shutdown,
    /// Switches the instance off at once.
    PowerOff,
    /// Lets a paused guest continue.
    Resume,
}

/// How far a guest is with giving back space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaiming {
    /// It goes on.
    Running,
    /// The guest has ended it.
    Ended,
    /// Nobody in the guest can be asked, it refuses, or the driver cannot ask.
    Unavailable,
}

/// A note that a driver writes before a risky step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalNote {
    /// The name of the step: `freezing`, `stopping`, `inserting-filter`, ...
    pub step: String,
    /// What recovery needs to know.
    pub data: Props,
}

/// The journal of one capture.
pub trait Journal: Send + Sync {
    /// Appends a note; when this returns, the note is durable.
    ///
    /// # Errors
    ///
    /// Whatever writing or syncing the journal's file reports; the step must not be taken then.
    fn record(&self, note: &JournalNote) -> io::Result<()>;

    /// Returns all notes so far, oldest first.
    fn notes(&self) -> Vec<JournalNote>;
}

/// A journal that a call may keep for its own duration.
pub type SharedJournal = Arc<dyn Journal>;

/// A hypervisor driver.
///
/// # Errors
///
/// Every call fails with a [`PortError`]: an error of the plugin itself, a trap, a timeout, or an
/// answer that breaks the contract.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Returns the programs that the driver needs, with the lowest version of each.
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError>;

    /// Returns the current state of an instance.
    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError>;

    /// Checks whether a capture is possible and returns what it would do; changes nothing.
    async fn plan_capture(&self, request: &CaptureRequest) -> Result<CapturePlan, PortError>;

    /// Freezes the guest, takes the point in time, thaws the guest, and serves the point in time.
    async fn begin_capture(
        &self,
        request: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<StartedCapture, PortError>;

    /// Returns the state of a capture; called about once a second while it is copied.
    async fn capture_status(&self, vm_id: &str, capture_id: &str) -> Result<CaptureStatus, PortError>;

    /// Removes everything that a capture set up. Idempotent.
    async fn end_capture(
        &self,
        vm_id: &str,
        capture_id: &str,
        outcome: CaptureOutcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError>;

    /// Undoes whatever a lost capture left behind. Idempotent.
    async fn recover(
        &self,
        vm_id: &str,
        capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError>;

    /// Returns the process to run for an instance.
    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError>;

    /// Changes an instance's power state and returns the state afterwards.
    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError>;

    /// Asks a running guest to give back the space that its file systems do not use any more (S31),
    /// and waits a few seconds for the end at most. What has begun continues in the guest, whatever
    /// becomes of the capture that it was begun for.
    async fn start_reclaim(&self, vm_id: &str) -> Result<Reclaiming, PortError>;

    /// Returns whether that still goes on; called about once a second.
    async fn reclaim_status(&self, vm_id: &str) -> Result<Reclaiming, PortError>;

    /// Returns whether the driver changes the devices of running instances. Without it the three
    /// calls below fail.
    fn changes_devices(&self) -> bool;

    /// Puts a medium into the drive of a running instance, instead of what is in it; `None` ejects.
    /// Idempotent.
    async fn change_medium(&self, vm_id: &str, medium: Option<&DiskSpec>) -> Result<(), PortError>;

    /// Attaches a disk to a running instance, unless one with its serial is there. Idempotent.
    async fn attach_disk(&self, vm_id: &str, disk: &DiskSpec) -> Result<(), PortError>;

    /// Detaches the disk with that serial from a running instance, if it is there, and returns when
    /// nothing of it is open any more. Idempotent.
    async fn detach_disk(&self, vm_id: &str, serial: &str) -> Result<(), PortError>;
}
