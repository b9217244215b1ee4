//! The entries of the catalogue: one for each code that the host decides on, and one for each
//! family of codes that plugins and the data path report.

use super::Retry::{AsReported, Automatic, ByHand, Never};
use crate::error::Code;

/// For tasks that Imprint repeats without anybody asking.
const WAIT: &str = "Wait for the automatic retries. If the task has failed, retry it later.";
/// For failures that only the provider can correct.
const ASK_PROVIDER: &str = "Contact the provider and give the reference.";
/// For content that no retry changes.
const OTHER_IMAGE: &str = "Use another image, or contact the provider and give the reference.";

/// Writes an enum, the list of its variants, and their entries.
macro_rules! catalogue {
    (
        $(#[$enum_doc:meta])* $name:ident;
        $($variant:ident = $code:expr, $retry:expr, $title:expr, $customer:expr, $operator:expr;)*
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = concat!("See [`", stringify!($name), "::entry`].")] $variant,)*
        }

        impl $name {
            /// Every variant, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns what the catalogue says about it.
            pub const fn entry(self) -> &'static super::Entry {
                match self {
                    $(Self::$variant => &const {
                        super::Entry {
                            code: $code,
                            retry: $retry,
                            title: $title,
                            customer: $customer,
                            operator: $operator,
                        }
                    },)*
                }
            }

            /// Returns its code, or the text that the codes of the family begin with.
            pub const fn as_str(self) -> &'static str {
                self.entry().code
            }
        }
    };
}

catalogue! {
    /// The codes that the control plane and the agent end tasks with.
    TaskErrorCode;

    AgentLost = "agent_lost", Automatic,
        "The hypervisor's agent stopped reporting during the task",
        WAIT,
        "Check the agent's process, its log, and its connection to the control plane.";
    AgentRestarted = "agent_restarted", Automatic,
        "The hypervisor's agent was restarted during the task",
        WAIT,
        "Find out why the agent restarted, if it was not on purpose.";
    AgentStopping = "agent_stopping", Automatic,
        "The hypervisor's agent was shut down during the task",
        "Wait; the task continues when the agent is back, and the interruption does not count as an attempt.",
        "Start the agent again.";
    // The control plane and the agent both end tasks with this one, depending on which one notices
    // it first. The time is over, so there is no automatic retry; a retry by hand starts with a new
    // deadline.
    DeadlineExceeded = "deadline_exceeded", ByHand,
        "The task took longer than it may",
        "Retry the task. If this happens again, contact support.",
        "Check that the hypervisor's agent is online and how fast its storage is.";
    // The customer is told whom to ask, and the operator has an alert (S29).
    CaptureTimeLimit = "capture_time_limit", ByHand,
        "Image creation took longer than it may",
        "Contact support and give the reference.",
        "Check how fast the hypervisor and the image storage are, and how large the disk is; then retry the task.";
    AgentIo = "agent.io", Automatic,
        "The hypervisor's agent could not use its disk",
        WAIT,
        "Check the disk that holds the agent's data, its permissions, and the agent's log.";
    // A defect fails in the same way again, whether it is in a helper thread, in a job, or in the
    // control plane; so it is never retried, as the API never calls its own `internal` retryable.
    Internal = "internal", Never,
        "Something went wrong on our side",
        ASK_PROVIDER,
        "Find the cause in the log of the agent or the server by the task's id, and report it.";

    // The report of the task names every rule, with what to do about each.
    ImportRefused = "import_refused", Never,
        "The file cannot be imported here",
        "Correct what the report names, and import the file again.",
        "Nothing, unless the location's import policy is not what you want.";
    ImportUnreadable = "import_unreadable", Never,
        "The file cannot be read as a disk",
        "Check that the file is complete and undamaged, and which format it has; then import it again.",
        "Read the detail: it is what the format's plugin says.";
    ImportDigestMismatch = "import_digest_mismatch", Never,
        "The file does not have the digest that was expected",
        "Check the digest, and that the file was not changed or damaged on its way; then import it again.",
        "Nothing.";
    ImportSizeMismatch = "import_size_mismatch", Never,
        "The file is not as large as was said",
        "Check the size of the file, and import it again.",
        "Nothing.";
    ImportAddress = "import_address", Never,
        "The address of the file cannot be used",
        "Give the http or https address of the file itself; it has to be reachable from the internet.",
        "Read the detail. Addresses of private networks are refused unless the agent's settings permit them.";
    ImportSource = "import_source", Never,
        "The server that has the file does not hand it over",
        "Check the address, and that the file may be read with it; then import it again.",
        "Read the detail: it is what the server answers.";
    ImportSourceChanged = "import_source_changed", Never,
        "The file changed while it was read",
        "Wait until nothing writes to it any more, and import it again.",
        "Nothing.";
    UploadExpired = "upload_expired", Never,
        "The upload was not continued in time",
        "Upload the file again.",
        "Nothing. The time is `upload_idle_hours` of `[imports]`.";

    ImageBytesLimitReached = Code::ImageBytesLimitReached.as_str(), Never,
        Code::ImageBytesLimitReached.title(),
        "Delete images that are not needed, or contact the provider; then import the file again.",
        "Nothing, unless the account's limit is not what you want.";

    InsufficientStorage = Code::InsufficientStorage.as_str(), Never,
        Code::InsufficientStorage.title(),
        "Delete images that are not needed, or contact the provider; then retry the task.",
        "Make room on the image storage, or bind another one.";
    HypervisorStorageFull = "hypervisor_storage_full", Never,
        "Insufficient storage space on the hypervisor's disk",
        "Contact the provider and give the reference; retry the task when there is room.",
        "Make room on the disk that holds the agent's data.";
    ScratchFull = "scratch_full", ByHand,
        "The guest overwrote more data during the capture than the scratch file may hold",
        "Retry the task when the guest writes less, or stop the instance first.",
        "Make room for a larger scratch file on the hypervisor.";
    HypervisorOffline = Code::HypervisorOffline.as_str(), ByHand,
        Code::HypervisorOffline.title(),
        "Retry the task later.",
        "Check the agent's process and its log.";
    InstanceBusy = Code::InstanceBusy.as_str(), Automatic,
        Code::InstanceBusy.title(),
        "Shut the instance down completely, or wait for its other task; then retry the task.",
        "Find the process that has the instance's disk open.";
    ImageNotAvailable = Code::ImageNotAvailable.as_str(), Never,
        Code::ImageNotAvailable.title(),
        "Use an image that is available.",
        "Check the error of the image's own task.";
    IsoNotAvailable = Code::IsoNotAvailable.as_str(), Never,
        Code::IsoNotAvailable.title(),
        "Eject the ISO, or mount another one.",
        "Check the task that registered the ISO, and that its file is still on its storage.";
    IsoInvalid = "iso_invalid", Never,
        "The file is not the complete image of a CD",
        "Contact the provider and give the reference.",
        "Compare the file with its source, replace it, and register it again.";
    DevicesNotSupported = Code::DevicesNotSupported.as_str(), Never,
        Code::DevicesNotSupported.title(),
        ASK_PROVIDER,
        "Use a driver that can change devices.";
    NotFound = Code::NotFound.as_str(), Never,
        "Something that the task needs does not exist any more",
        "Check that the image and the instance still exist.",
        "Nothing.";
    NoImageStorageBound = Code::NoImageStorageBound.as_str(), Never,
        Code::NoImageStorageBound.title(),
        ASK_PROVIDER,
        "Bind an image storage to the hypervisor.";
    ImageNotReachable = Code::ImageNotReachable.as_str(), ByHand,
        Code::ImageNotReachable.title(),
        "Retry the task, or choose another hypervisor.",
        "Bind a storage that both hypervisors reach, or start the agent of one that has the image with --object-listen.";

    // Merging is not repeated by itself: a disk that took too long now takes too long again.
    CoalesceTimeout = Code::CoalesceTimeout.as_str(), ByHand,
        Code::CoalesceTimeout.title(),
        "Wait and send the request again.",
        "Merge the disk's layers outside of an image creation, or raise the location's time limit for it.";
    CoalesceMismatch = "coalesce_mismatch", Automatic,
        "The merged disk differed from its layers and was discarded",
        WAIT,
        "Check the hypervisor's memory and disks: what was written reads back differently.";
    CoalesceSnapshots = "coalesce_snapshots", Never,
        "A layer of the disk holds snapshots, which a merge would lose",
        "Remove the snapshots of the instance's disk, then retry the task.",
        "Remove the snapshots inside the layers of the disk.";
    InstanceRunning = "instance_running", Never,
        "The instance is running, and its disk is in use",
        "Stop the instance, then retry the task.",
        "Nothing.";

    ConsistencyNotReached = "consistency_not_reached", Never,
        "The requested consistency could not be reached",
        "Start the guest agent in the instance, or ask for a weaker consistency.",
        "Check the guest agent and the driver's remarks in the log.";
    WindowsDiskTooLarge = Code::WindowsDiskTooLarge.as_str(), Never,
        Code::WindowsDiskTooLarge.title(),
        "Create a smaller instance, and move the data there.",
        "Nothing, unless the location's bound for disks of Windows is not what you want.";
    DomainControllerNotSupported = Code::DomainControllerNotSupported.as_str(), Never,
        Code::DomainControllerNotSupported.title(),
        "Demote the domain controller, then create the image.",
        "Nothing. The disk itself says that it is one.";
    DriverContent = "driver_content", Never,
        "The hypervisor's driver offered something other than a plain disk",
        ASK_PROVIDER,
        "Update the agent and its driver plugin together.";
    DriverSize = "driver_size", Automatic,
        "The hypervisor served a disk of another size than it had announced",
        WAIT,
        "Check whether the disk was resized during the capture.";
    DriverTimeout = "driver_timeout", Automatic,
        "The hypervisor did not start the capture in time",
        WAIT,
        "Check whether the guest agent and the hypervisor process respond.";
    FreezeWatchdog = "freeze_watchdog", Automatic,
        "The guest's file systems were frozen for too long; they were thawed, and the capture was stopped",
        WAIT,
        "Check the load of the hypervisor and the driver plugin's log.";
    StopWatchdog = "stop_watchdog", Automatic,
        "The guest's processors were stopped for too long; they were resumed, and the capture was stopped",
        WAIT,
        "Check the load of the hypervisor and the driver plugin's log.";
    SnapshotBroken = "snapshot_broken", Automatic,
        "The captured point in time was lost during the copy",
        WAIT,
        "Check the hypervisor's disks and its log.";
    InstanceGone = "instance_gone", Automatic,
        "The instance was stopped while it was captured",
        "Wait for the automatic retries, or capture the instance again, running or stopped.",
        "Check why the instance's process ended, if it was not stopped on purpose.";
    RecoveryPending = "recovery_pending", Automatic,
        "An earlier capture of this instance could not be undone yet",
        WAIT,
        "Find the cause in the agent's log; the agent tries again every few seconds.";

    ImageDamaged = "image_damaged", Never,
        "The image's content is not what was stored",
        "Delete the image, or contact the provider.",
        "Restore the image's file from a good copy, and check the storage.";
    ImageFileMissing = "image_file_missing", Never,
        "The image's file is not on its storage any more",
        "Delete the image, or contact the provider.",
        "Restore the image's file under its key, then repair the image from the storage's page; or delete the image.";
    DiskTooSmall = Code::DiskTooSmall.as_str(), Never,
        Code::DiskTooSmall.title(),
        "Ask for a disk that is at least as large as the image.",
        "Nothing.";
    DiskTooLarge = "disk_too_large", Never,
        "The disk is larger than the largest size that is supported",
        OTHER_IMAGE,
        "Nothing.";
    FormatUnknown = "format_unknown", Never,
        "The disk format is not supported by this hypervisor",
        OTHER_IMAGE,
        "Install the plugin of the format on the hypervisor.";
    SeedInvalid = "seed_invalid", Never,
        "The host name, an SSH key or the user data is not valid",
        "Correct them and create the instance again.",
        "Nothing.";

    InstanceMissing = "instance_missing", Never,
        "The instance is not on its hypervisor",
        ASK_PROVIDER,
        "Restore the instance's folder on the hypervisor, or delete the instance.";
    InstanceDamaged = "instance_damaged", Never,
        "The instance's files on its hypervisor are damaged",
        ASK_PROVIDER,
        "Restore the instance's folder from a backup; the detail names the file.";
    InstanceIoError = "instance_io_error", Never,
        "The instance was halted by a failed disk access",
        ASK_PROVIDER,
        "Check the hypervisor's disks.";
    InstanceNotReady = "instance_not_ready", Automatic,
        "The instance was not ready in time",
        WAIT,
        "Check the load of the hypervisor and the instance's process log.";
    InstanceProcessEnded = "instance_process_ended", Never,
        "The instance's process ended while it started",
        ASK_PROVIDER,
        "Read the end of the instance's process log in the agent's log.";
    NetworkNotReady = "network_not_ready", Never,
        "The network card of the instance could not be made ready",
        ASK_PROVIDER,
        "Correct the setting that the detail names in the settings of the hypervisor's driver, or make what is missing on its machine; then retry the task.";
    ProgramMissing = "program_missing", Never,
        "A program that the hypervisor needs is not installed",
        ASK_PROVIDER,
        "Install the package that the detail names.";
    ProgramNotApproved = "program_not_approved", Never,
        "The hypervisor's driver asked for a program that is not approved",
        ASK_PROVIDER,
        "Approve the program in the agent's configuration, or correct the driver's settings.";
}

catalogue! {
    /// The families of codes that plugins and the data path report. The class of the error says
    /// whether a retry can help, except where the entry decides.
    TaskErrorFamily;

    PluginBusy = "plugin.busy", Automatic,
        "Too many tasks use the same plugin",
        WAIT,
        "Nothing, unless it lasts; then lower how many tasks the hypervisor runs at once.";
    Plugin = "plugin.", AsReported,
        "A plugin failed",
        ASK_PROVIDER,
        "Read the detail: it names the plugin and what it did wrong. Check its version, manifest and grants.";
    QemuVmGone = "qemu.vm-gone", AsReported,
        "The instance was stopped during the task",
        "Wait for the automatic retries, or retry the task.",
        "Check why the instance's process ended, if it was not stopped on purpose.";
    QemuMonitorBusy = "qemu.monitor-busy", AsReported,
        "The hypervisor did not respond",
        WAIT,
        "Check whether the process hangs, and that nothing else uses the instance's monitor socket.";
    Qemu = "qemu.", AsReported,
        "The hypervisor could not do what the task asked for",
        "Retry the task later. If it fails again, contact the provider and give the reference.",
        "Read the detail: it is QEMU's answer or the driver's refusal.";
    Driver = "driver.", AsReported,
        "The hypervisor's driver could not be used",
        ASK_PROVIDER,
        "Read the detail, and check the driver's settings.";
    Capture = "capture.", Never,
        "The capture was not valid for the hypervisor's driver",
        ASK_PROVIDER,
        "Report it with the detail.";
    Channel = "channel.", AsReported,
        "The connection to the hypervisor failed",
        WAIT,
        "Check the instance's process and the driver's endpoints.";
    Nbd = "nbd.", Automatic,
        "The connection to the instance's disk failed",
        WAIT,
        "Check the instance's process and its disk export.";

    LocalNotFound = "local.not-found", AsReported,
        "The image's file is missing from its storage",
        OTHER_IMAGE,
        "Restore the file, or delete the image.";
    Local = "local.", AsReported,
        "The image storage could not do what the task asked for",
        ASK_PROVIDER,
        "Read the detail, and check the storage's folder.";
    Storage = "storage.", AsReported,
        "The image storage could not be used",
        ASK_PROVIDER,
        "Check the storage's settings, its mount and its permissions.";
    Stream = "stream.", AsReported,
        "The image storage failed during the copy",
        WAIT,
        "Check the storage and its plugin's log.";
    Http = "http.", AsReported,
        "The image storage could not be reached",
        WAIT,
        "Check the storage's address, certificate and network.";
    Dirs = "dirs.", AsReported,
        "The image storage's folder could not be used",
        ASK_PROVIDER,
        "Check the folder's mount and permissions.";

    IoNotFound = "io.not-found", AsReported,
        "A file that the task needs is missing",
        OTHER_IMAGE,
        "Restore the file that the detail names, or delete the image.";
    IoOpen = "io.open", AsReported,
        "A file that the task needs could not be opened",
        ASK_PROVIDER,
        "Check that the file which the detail names exists, and its permissions.";
    Io = "io.", AsReported,
        "Reading or writing failed during the copy",
        WAIT,
        "Check the disks of the hypervisor and the image storage.";
    Scratch = "scratch.", AsReported,
        "The hypervisor's scratch space could not be used",
        WAIT,
        "Check the disk that holds the agent's data.";
    Blob = "blob.", AsReported,
        "A plugin could not read the disk",
        ASK_PROVIDER,
        "Check the disks of the hypervisor and the image storage.";
    Files = "files.", AsReported,
        "A plugin could not use a file",
        ASK_PROVIDER,
        "Read the detail, and check the plugin's grants.";
    Journal = "journal.", AsReported,
        "The hypervisor's agent could not write its journal",
        WAIT,
        "Check the disk that holds the agent's data.";
    Mover = "mover.", AsReported,
        "The process that decodes images failed",
        "Retry the task. If it fails again, use another image or contact the provider.",
        "Read the detail: the process was ended from outside, or the image is hostile.";

    Corrupt = "corrupt.", Never,
        "The disk's content is damaged",
        OTHER_IMAGE,
        "Restore the file from a good copy, and check the storage.";
    Denied = "denied.", Never,
        "The disk asks for something that is not allowed",
        OTHER_IMAGE,
        "Read the detail: the file refers to other files, claims to be of another format, or breaks a bound.";
    Unsupported = "unsupported.", Never,
        "The disk uses a feature that is not supported",
        OTHER_IMAGE,
        "Convert the disk with the program that made it; the detail names the feature.";
    Limit = "limit.", Never,
        "The disk exceeds a limit on its size or its tables",
        OTHER_IMAGE,
        "Read the detail: it names the limit. The image may be hostile.";
    Invalid = "invalid.", Never,
        "The disk cannot be written as requested",
        ASK_PROVIDER,
        "Read the detail: it names the option or file that is not valid.";
    Chain = "chain.", Never,
        "The layers of the disk do not fit together",
        ASK_PROVIDER,
        "Put the right parent file next to the layer that the detail names.";
    Conflict = "conflict.", ByHand,
        "The disk changed while it was read",
        "Stop what writes to the disk, then retry the task.",
        "Find what writes to the file during the task.";
    Verify = "verify.", ByHand,
        "What was written reads back differently",
        "Retry the task. If it fails again, contact the provider and give the reference.",
        "Check the storage, the memory and the disks.";
    Map = "map.", Never,
        "The disk's map is not valid",
        OTHER_IMAGE,
        "Read the detail. The image may be damaged or hostile.";
    Format = "format.", AsReported,
        "The disk format's plugin could not read the disk",
        OTHER_IMAGE,
        "Read the detail.";
    // A worker thread ended: the data path asks for another try, and a defect would make each
    // automatic one fail.
    Internal = "internal.", ByHand,
        "Something went wrong on our side",
        "Retry the task. If it fails again, contact the provider and give the reference.",
        "Find the cause in the agent's log by the task's id, and report it.";
    Other = "", AsReported,
        "The task failed",
        ASK_PROVIDER,
        "Read the detail: the code belongs to a plugin of your own.";
}
