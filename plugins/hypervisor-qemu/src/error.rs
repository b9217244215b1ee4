//! Failures between this driver and QEMU, and the errors that the host gets.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    hypervisor::Consistency,
};

/// A failure of this driver. Messages say what to do.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The host refused or failed a call of this driver.
    Host(Error),
    /// Another client holds the monitor: it accepts the connection and never greets.
    MonitorBusy,
    /// Nothing listens on the monitor.
    VmGone,
    /// The monitor or the agent closed in the middle of a conversation; whether the process is gone
    /// too, only a new connection shows.
    ConnectionLost,
    /// A command got no answer in time.
    Timeout { command: String },
    /// QEMU or the guest agent refused a command.
    Refused { command: String, description: String },
    /// Something came that is not the protocol.
    Protocol { doing: String, problem: String },
    /// The request itself is wrong.
    Invalid { what: &'static str, problem: String },
    /// QEMU is older than the driver supports.
    OldVersion { found: String },
    /// QEMU was built without something that the capture needs.
    FeatureMissing { feature: &'static str },
    /// A combination that is known to crash the customer's VM.
    UnsafeConfiguration { found: String },
    /// The process's only NBD server is in use by another program.
    NbdBusy,
    /// Nodes or exports of an earlier capture are there.
    Leftovers { names: Vec<String> },
    /// There is no disk to capture.
    NoPrimaryDisk { problem: String },
    /// The primary disk is read only.
    ReadOnlyDisk { disk: String },
    /// The scratch file does not fit the disk.
    ScratchSize { scratch: u64, disk: u64 },
    /// The guest could not be quiesced as far as the caller requires.
    ConsistencyNotReached { reached: Consistency, minimum: Consistency, reason: String },
    /// Another program resumed the guest inside the stop window, so that there is no single point
    /// in time.
    ResumedEarly,
    /// The guest could not be resumed or thawed.
    GuestHeld { problem: String },
    /// Something of the capture is still in QEMU after it was taken down.
    NotTakenDown { problem: String },
    /// The machine takes no such device while it runs.
    NoHotPlug { what: &'static str },
    /// The guest does not release a disk.
    DiskHeld,
    /// The work was cancelled.
    Cancelled,
}

impl Fault {
    /// Whether QEMU is not there any more (or never was).
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::VmGone)
    }

    /// Whether the connection broke, so that nothing more can be asked on it.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::ConnectionLost)
    }

    /// Whether QEMU's answer says that an NBD server of another program runs.
    pub(crate) fn is_server_running(&self) -> bool {
        matches!(self, Self::Refused { description, .. } if description.contains("already running"))
    }

    /// Whether QEMU's answer says that there is no NBD server to stop.
    pub(crate) fn is_server_stopped(&self) -> bool {
        matches!(self, Self::Refused { description, .. } if description.contains("not running"))
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Host(error) => error.class,
            Self::MonitorBusy
            | Self::ConnectionLost
            | Self::Timeout { .. }
            | Self::NbdBusy
            | Self::ResumedEarly
            | Self::GuestHeld { .. }
            | Self::NotTakenDown { .. } => ErrorClass::Transient,
            Self::VmGone => ErrorClass::NotFound,
            Self::Protocol { .. } => ErrorClass::Internal,
            Self::Invalid { .. } => ErrorClass::InvalidInput,
            Self::OldVersion { .. } | Self::FeatureMissing { .. } | Self::UnsafeConfiguration { .. } => {
                ErrorClass::Unsupported
            }
            Self::Leftovers { .. }
            | Self::Refused { .. }
            | Self::NoPrimaryDisk { .. }
            | Self::ReadOnlyDisk { .. }
            | Self::NoHotPlug { .. }
            | Self::DiskHeld
            | Self::ConsistencyNotReached { .. } => ErrorClass::Conflict,
            Self::ScratchSize { .. } => ErrorClass::InvalidInput,
            Self::Cancelled => ErrorClass::Cancelled,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Host(error) => &error.code,
            Self::MonitorBusy => "qemu.monitor-busy",
            Self::VmGone => "qemu.vm-gone",
            Self::ConnectionLost => "qemu.connection-lost",
            Self::Timeout { .. } => "qemu.timeout",
            Self::Refused { .. } => "qemu.refused",
            Self::Protocol { .. } => "qemu.protocol",
            Self::Invalid { .. } => "qemu.invalid-request",
            Self::OldVersion { .. } => "qemu.version",
            Self::FeatureMissing { .. } => "qemu.feature-missing",
            Self::UnsafeConfiguration { .. } => "qemu.unsafe-configuration",
            Self::NbdBusy => "qemu.nbd-busy",
            Self::Leftovers { .. } => "qemu.leftovers",
            Self::NoPrimaryDisk { .. } => "qemu.no-primary-disk",
            Self::ReadOnlyDisk { .. } => "qemu.read-only-disk",
            Self::ScratchSize { .. } => "qemu.scratch-size",
            Self::ConsistencyNotReached { .. } => "qemu.consistency-not-reached",
            Self::ResumedEarly => "qemu.resumed-early",
            Self::GuestHeld { .. } => "qemu.guest-held",
            Self::NotTakenDown { .. } => "qemu.not-taken-down",
            Self::NoHotPlug { .. } => "qemu.no-hot-plug",
            Self::DiskHeld => "qemu.disk-held",
            Self::Cancelled => "qemu.cancelled",
        }
    }

    /// Milliseconds after which another attempt makes sense.
    fn retry_after_ms(&self) -> Option<u32> {
        match self {
            Self::Host(error) => error.retry_after_ms,
            Self::NbdBusy => Some(30_000),
            Self::MonitorBusy
            | Self::ConnectionLost
            | Self::Timeout { .. }
            | Self::ResumedEarly
            | Self::GuestHeld { .. }
            | Self::NotTakenDown { .. } => Some(2_000),
            Self::VmGone
            | Self::Refused { .. }
            | Self::Protocol { .. }
            | Self::Invalid { .. }
            | Self::OldVersion { .. }
            | Self::FeatureMissing { .. }
            | Self::UnsafeConfiguration { .. }
            | Self::Leftovers { .. }
            | Self::NoPrimaryDisk { .. }
            | Self::ReadOnlyDisk { .. }
            | Self::ScratchSize { .. }
            | Self::ConsistencyNotReached { .. }
            | Self::NoHotPlug { .. }
            | Self::DiskHeld
            | Self::Cancelled => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(error) => f.write_str(&error.message),
            Self::MonitorBusy => f.write_str(
                "another client holds the instance's monitor; try again when it is done, or give imprint a monitor of its own",
            ),
            Self::VmGone => f.write_str("the instance's monitor does not answer: the instance is off, or its process died"),
            Self::ConnectionLost => f.write_str("the connection into the instance was lost; try again"),
            Self::Timeout { command } => write!(f, "`{command}` got no answer in time; try again when the machine is less busy"),
            Self::Refused { command, description } => write!(f, "`{command}` was refused: {description}"),
            Self::Protocol { doing, problem } => {
                write!(f, "the answer to {doing} is not understood ({problem}); check that the channel leads to QEMU")
            }
            Self::Invalid { what, problem } => write!(f, "{what}: {problem}"),
            Self::OldVersion { found } => write!(f, "QEMU {found} is too old; restart the instance with 7.2 or newer"),
            Self::FeatureMissing { feature } => write!(
                f,
                "this QEMU has no `{feature}`; restart the instance with a build that has it, or capture it stopped"
            ),
            Self::UnsafeConfiguration { found } => write!(
                f,
                "{found}: a live capture can crash this instance; capture it stopped, or restart it with QEMU 10 or newer"
            ),
            Self::NbdBusy => f.write_str(
                "the instance's NBD server is already in use, probably by another backup; try again when that is done",
            ),
            Self::Leftovers { names } => write!(
                f,
                "parts of another capture are in the instance ({}); wait for it, or recover it first",
                names.join(", ")
            ),
            Self::NoPrimaryDisk { problem } => write!(f, "there is no primary disk to capture: {problem}"),
            Self::ReadOnlyDisk { disk } => {
                write!(f, "the primary disk `{disk}` is read only; capture the image that it was made from")
            }
            Self::ScratchSize { scratch, disk } => {
                write!(f, "the scratch file holds {scratch} bytes and the disk {disk}; create it with the disk's size")
            }
            Self::ConsistencyNotReached { reached, minimum, reason } => write!(
                f,
                "only {} consistency can be reached and at least {} is required: {reason}",
                level_name(*reached),
                level_name(*minimum)
            ),
            Self::ResumedEarly => f.write_str("the instance was resumed by another program during the capture; try again"),
            Self::GuestHeld { problem } => write!(f, "the guest may still be held ({problem}); recover the capture"),
            Self::NotTakenDown { problem } => {
                write!(f, "parts of the capture are still in the instance ({problem}); end it again")
            }
            Self::NoHotPlug { what } => {
                write!(f, "this machine takes no {what} while it runs; stop the instance first")
            }
            Self::DiskHeld => f.write_str(
                "the guest does not release the disk; unmount it there, or stop the instance first",
            ),
            Self::Cancelled => f.write_str("the capture was cancelled"),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        if let Fault::Host(error) = fault {
            return error;
        }
        Self {
            class: fault.class(),
            code: fault.code().to_owned(),
            message: fault.to_string(),
            retry_after_ms: fault.retry_after_ms(),
        }
    }
}

/// The human-readable name.
pub(crate) fn level_name(level: Consistency) -> &'static str {
    match level {
        Consistency::Crash => "crash",
        Consistency::Filesystem => "file system",
        Consistency::Application => "application",
        Consistency::Stopped => "stopped",
    }
}
