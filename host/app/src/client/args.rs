//! The arguments of the client's commands. Resources are named by id or by name.

mod access;
mod admin;
mod billing;
mod catalogue;
mod export;
mod import;
mod instance;
mod iso;
mod saved;
mod share;
mod storage;
mod webhook;

pub(crate) use access::{AccessArgs, ReinstallArgs};
pub(crate) use admin::{
    AccountCommand, AccountCreateArgs, AccountSetArgs, AdminArgs, AdminCommand, AdminHypervisorCommand,
    Limit, LocationCommand, LocationSetArgs, SecretsCommand,
};
pub(crate) use billing::{
    BillingArgs, BillingCommand, MonthCommand, PeriodArgs, RateArgs, RateCommand, RateKindArg, TableFormat,
    UsageArgs, UsageCommand,
};
pub(crate) use catalogue::{
    MediaGroupArgs, MediaGroupCommand, MediaGroupUpdateArgs, StockImageAddArgs, StockImageArgs,
    StockImageCommand, StockImageUpdateArgs,
};
pub(crate) use export::{ExportArgs, ExportCommand};
pub(crate) use import::ImageImportArgs;
pub(crate) use instance::{InstanceArgs, InstanceCommand, InstanceCreateArgs};
pub(crate) use iso::{
    AttachDiskArgs, DetachDiskArgs, EjectIsoArgs, IsoArgs, IsoCommand, IsoRegisterArgs, IsoUpdateArgs,
    MountIsoArgs,
};
pub(crate) use saved::{SshKeyArgs, SshKeyCommand, UserScriptArgs, UserScriptCommand};
pub(crate) use share::{Expiry, ShareCommand, ShareOfferArgs};
pub(crate) use storage::{
    StorageAdoptArgs, StorageArgs, StorageBrowseArgs, StorageCommand, StorageCreateArgs, StorageDownloadArgs,
    StorageEditArgs, StorageListArgs, StorageReconcileArgs, StorageScanArgs, StorageSecretsArgs,
    StorageTestArgs,
};
pub(crate) use webhook::{WebhookArgs, WebhookCommand};

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use imprint_domain::{
    capture_format::CaptureFormat,
    consistency::Consistency,
    id::TaskId,
    image::{Compression, ImageKind, ImageStatus, catalogue::OsType},
    size::ByteSize,
    task::TaskState,
};

use crate::output_format::OutputFormat;

/// The client's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Sign in to a server and keep a token for the other commands
    Login(LoginArgs),
    /// Revoke the kept token and forget it
    Logout,
    /// Images: list, show, create, update, rename, share, delete
    Image(ImageArgs),
    /// Instances: list, show, create, start, stop, mount ISOs, attach disks, delete
    Instance(InstanceArgs),
    /// ISOs: list; for operators: register, update, delete
    Iso(IsoArgs),
    /// Hypervisors: list, update
    Hypervisor(HypervisorArgs),
    /// Locations, with the limits of the account and what it uses of them: list
    Location(LocationArgs),
    /// Tasks: list, show, watch, cancel, retry
    Task(TaskArgs),
    /// Saved SSH keys: list, show, create, rename, delete
    SshKey(SshKeyArgs),
    /// Saved user scripts: list, show, create, update, delete
    UserScript(UserScriptArgs),
    /// Webhooks: list, show, create, update, test, deliveries, delete
    Webhook(WebhookArgs),
    /// For operators: stock images: list, show, add, update, deprecate, hide
    StockImage(StockImageArgs),
    /// Media groups: list, show; for operators create, update, move, delete
    MediaGroup(MediaGroupArgs),
    /// For operators: image storages: list, show, create, edit, bind, unbind, drain, delete
    Storage(StorageArgs),
    /// What images and instances cost: show, explain, days, export, budget
    Usage(UsageArgs),
    /// For operators: rates, months, adjustments, reconciliation, the feed of hours
    Billing(BillingArgs),
    /// For operators: merge the layers of a disk, set up locations, remove hypervisors, seal
    /// secrets again
    Admin(AdminArgs),
}

impl ClientCommand {
    /// Returns the format of answers and errors, if one was asked for.
    pub(crate) fn output_format(&self) -> Option<OutputFormat> {
        match self {
            Self::Login(args) => args.output,
            Self::Logout => None,
            Self::Image(ImageArgs { connection, .. })
            | Self::Instance(InstanceArgs { connection, .. })
            | Self::Iso(IsoArgs { connection, .. })
            | Self::Hypervisor(HypervisorArgs { connection, .. })
            | Self::Location(LocationArgs { connection, .. })
            | Self::Task(TaskArgs { connection, .. })
            | Self::SshKey(SshKeyArgs { connection, .. })
            | Self::UserScript(UserScriptArgs { connection, .. })
            | Self::Webhook(WebhookArgs { connection, .. })
            | Self::StockImage(StockImageArgs { connection, .. })
            | Self::MediaGroup(MediaGroupArgs { connection, .. })
            | Self::Storage(StorageArgs { connection, .. })
            | Self::Usage(UsageArgs { connection, .. })
            | Self::Billing(BillingArgs { connection, .. })
            | Self::Admin(AdminArgs { connection, .. }) => connection.output,
        }
    }
}

/// The server, the credentials, and the format of answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Address of the server [default: that of `imprint login`]
    #[arg(long, env = "IMPRINT_SERVER", value_name = "URL", global = true)]
    pub(crate) server: Option<String>,
    /// API token [default: that of `imprint login`]; prefer the variable, which no process list
    /// shows
    #[arg(long, env = "IMPRINT_TOKEN", value_name = "TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// Format of the answer [default: table on a terminal, json elsewhere]; with `json` errors are
    /// JSON, too
    #[arg(long, short, value_enum, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<OutputFormat>,
}

/// Arguments of `imprint login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Address of the server
    #[arg(long, env = "IMPRINT_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Name of the account [default: ask on the terminal]
    #[arg(long, env = "IMPRINT_ACCOUNT", value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Read the password from standard input instead of IMPRINT_PASSWORD or the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Format of the answer [default: table on a terminal, json elsewhere]; with `json` errors are
    /// JSON, too
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<OutputFormat>,
}

/// Arguments of `imprint image`.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: ImageCommand,
}

/// The commands of `imprint image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images, newest first
    List(ImageListArgs),
    /// Show an image
    Show {
        /// Id or name
        image: String,
    },
    /// Show what was found inside of an image's disk: its system, and what is installed in it
    Inside {
        /// Id or name
        image: String,
    },
    /// Create an image of an instance, which keeps running
    Create(ImageCreateArgs),
    /// Import a disk from a file or an address, in any format
    Import(ImageImportArgs),
    /// Continue an upload that was interrupted
    Upload {
        /// Image, by id or name
        image: String,
        /// The same file
        file: PathBuf,
    },
    /// Estimate the size of an image of an instance, and the time that creating it takes
    Estimate {
        /// Instance, by id or name
        instance: String,
        /// Format of the stored file: qcow2, raw or vhd [default: that of the location]
        #[arg(long)]
        format: Option<CaptureFormat>,
        /// Compression of the stored file [default: zstd; none where the format has none]
        #[arg(long)]
        compression: Option<Compression>,
        /// What the file system is to hold, such as 20G [default: what the disk's file occupies]
        #[arg(long, value_name = "SIZE")]
        used: Option<ByteSize>,
        /// The most that the file system held before, such as 100G; no disk gets smaller again
        #[arg(long, value_name = "SIZE", requires = "used")]
        formerly: Option<ByteSize>,
    },
    /// Change an image's name, description, tags, metadata or delete protection
    Update(ImageUpdateArgs),
    /// Rename an image
    Rename {
        /// Id or name
        image: String,
        /// The new name
        name: String,
    },
    /// Export an image as a file of another format, and download it or have it written to a storage
    /// of yours
    Export(ExportArgs),
    /// Exports of an image: list, delete
    #[command(subcommand)]
    Exports(ExportCommand),
    /// Sharing with other accounts: offer, list, accept, reject, revoke, leave
    #[command(subcommand)]
    Share(ShareCommand),
    /// Delete an image; instances made from it stay
    Delete {
        /// Id or name
        image: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// The owners of the images to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Images of this account
    Own,
    /// Stock images of the provider
    Stock,
    /// Images of other accounts that are shared with this one
    Shared,
    /// All of these
    All,
}

/// Arguments of `imprint image list`.
#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    /// Which images
    #[arg(long, value_enum, default_value_t = Scope::Own)]
    pub(crate) scope: Scope,
    /// Only images with every one of these words in name, description, source instance or tags
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// Only images with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Only images with one of these statuses
    #[arg(long, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<ImageStatus>,
    /// Only images of this instance, by id or name
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) source_instance: Option<String>,
    /// Only images of this origin: custom or stock
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<ImageKind>,
    /// Order: created_at, name or size_bytes; a leading `-` reverses it
    #[arg(long, allow_hyphen_values = true, default_value = "-created_at", value_name = "FIELD")]
    pub(crate) sort: String,
}

/// Arguments of `imprint image create`.
#[derive(Debug, Args)]
pub(crate) struct ImageCreateArgs {
    /// Instance to capture the primary disk of, by id or name
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) from_instance: String,
    /// Name of the image
    #[arg(long)]
    pub(crate) name: String,
    /// Description of the image
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Tag of the image; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Format of the stored file: qcow2, raw or vhd [default: that of the location]
    #[arg(long)]
    pub(crate) format: Option<CaptureFormat>,
    /// Compression: none, zlib or zstd [default: zstd; none where the format has none]
    #[arg(long, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    /// Consistency to try for: crash, filesystem or application [default: application]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) want: Option<Consistency>,
    /// Weakest consistency that counts as success [default: crash]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) minimum: Option<Consistency>,
    /// Whether the instance is a domain controller of Windows, which is refused
    #[arg(long, value_name = "BOOL")]
    pub(crate) domain_controller: Option<bool>,
    /// Image storage that takes it, by id or name; for operators [default: chosen]
    #[arg(long)]
    pub(crate) storage: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint image update`. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct ImageUpdateArgs {
    /// Id or name
    pub(crate) image: String,
    /// The new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The new description
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The new tags instead of the old ones; given once for each
    #[arg(long = "tag", value_name = "TAG", conflicts_with = "no_tags")]
    pub(crate) tags: Vec<String>,
    /// Remove all tags
    #[arg(long)]
    pub(crate) no_tags: bool,
    /// Set a key of the metadata, such as `ssh_user=debian`; given once for each
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = storage::setting)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Remove a key of the metadata; given once for each
    #[arg(long = "no-metadata", value_name = "KEY")]
    pub(crate) no_metadata: Vec<String>,
    /// Protect the image from deletion
    #[arg(long, conflicts_with = "unprotect")]
    pub(crate) protect: bool,
    /// Switch the protection off
    #[arg(long)]
    pub(crate) unprotect: bool,
    /// The operating system: linux, windows, bsd or other
    #[arg(long, value_name = "TYPE")]
    pub(crate) os_type: Option<OsType>,
    /// Whether its system sets SSH keys and runs user scripts at the first boot
    #[arg(long, value_name = "true|false")]
    pub(crate) cloud_init: Option<bool>,
}

/// Whether to wait for the task.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until the task has ended, and show its progress
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What happens to an image that is being created from the instance.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BusyArgs {
    /// Cancel an image that is being created from it; without it, the command is refused meanwhile
    #[arg(long)]
    pub(crate) cancel_captures: bool,
}

/// Whether to ask before something is deleted.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// Do not ask; without a terminal nothing is asked
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Arguments of `imprint location`.
#[derive(Debug, Args)]
pub(crate) struct LocationArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: PlacesCommand,
}

/// The commands of `imprint location`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlacesCommand {
    /// List the locations, with the limits of the account and what it uses of them
    List,
}

/// Arguments of `imprint hypervisor`.
#[derive(Debug, Args)]
pub(crate) struct HypervisorArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: HypervisorCommand,
}

/// The commands of `imprint hypervisor`.
#[derive(Debug, Subcommand)]
pub(crate) enum HypervisorCommand {
    /// List hypervisors
    List,
    /// For operators: change how much a hypervisor does at once, from now on
    Update(HypervisorUpdateArgs),
}

/// Arguments of `imprint hypervisor update`. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct HypervisorUpdateArgs {
    /// Id or name
    pub(crate) hypervisor: String,
    /// Most captures that run on it at the same time; those that run already go on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) captures: Option<u32>,
    /// Whether it is older hardware with limited bandwidth for imaging, which failed captures then
    /// say
    #[arg(long, value_name = "BOOL")]
    pub(crate) limited_imaging_bandwidth: Option<bool>,
}

/// Arguments of `imprint task`.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

/// The commands of `imprint task`.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List tasks, newest first
    List(TaskListArgs),
    /// Show a task
    Show {
        /// Id of the task
        task: TaskId,
    },
    /// Watch a task until it has ended
    Watch {
        /// Id of the task
        task: TaskId,
    },
    /// Cancel a task and undo what it did
    Cancel {
        /// Id of the task
        task: TaskId,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Retry a failed or cancelled task
    Retry {
        /// Id of the task
        task: TaskId,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// Arguments of `imprint task list`.
#[derive(Debug, Args)]
pub(crate) struct TaskListArgs {
    /// Only tasks in one of these states
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    pub(crate) state: Vec<TaskState>,
    /// Only tasks of this image, by id or name
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Only tasks of this instance, by id or name
    #[arg(long)]
    pub(crate) instance: Option<String>,
}
