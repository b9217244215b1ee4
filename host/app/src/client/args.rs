//! What is typed. Resources are named by id or by name.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use imprint_domain::id::TaskId;
use imprint_domain::{
    consistency::Consistency,
    image::{Compression, ImageStatus},
    task::TaskState,
};

use super::output::parse_size;

/// The client's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Sign in to a server and keep a token for the other commands
    Login(LoginArgs),
    /// Revoke the kept token and forget it
    Logout,
    /// Images: list, show, create, rename, delete
    Image(ImageArgs),
    /// Instances: list, show, create, start, stop, delete
    Instance(InstanceArgs),
    /// Tasks: list, show, watch, cancel, retry
    Task(TaskArgs),
    /// For operators: merge the layers of a disk, set up locations
    Admin(AdminArgs),
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// For programs: what the API answers
    Json,
}

/// Where the server is, who asks, and how to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The server, if not the one of `imprint login`
    #[arg(long, env = "IMPRINT_SERVER", value_name = "URL", global = true)]
    pub(crate) server: Option<String>,
    /// An API token, if not the one of `imprint login`; better given in the variable, which no
    /// process list shows
    #[arg(long, env = "IMPRINT_TOKEN", value_name = "TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// How to print the answer [default: table on a terminal, json elsewhere]
    #[arg(long, short, value_enum, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<OutputFormat>,
}

/// Arguments of `imprint login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The server
    #[arg(long, env = "IMPRINT_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// The account; asked for when it is missing
    #[arg(long, env = "IMPRINT_ACCOUNT", value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Read the password from standard input; without it, from IMPRINT_PASSWORD or the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// How to print the answer [default: table on a terminal, json elsewhere]
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

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images, newest first
    List(ImageListArgs),
    /// Show an image
    Show {
        /// Its id or name
        image: String,
    },
    /// Create an image of an instance, which goes on running
    Create(ImageCreateArgs),
    /// Give an image another name
    Rename {
        /// Its id or name
        image: String,
        /// The new name
        name: String,
    },
    /// Delete an image; instances made from it stay
    Delete {
        /// Its id or name
        image: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// Whose images to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// The account's own
    Own,
    /// The provider's
    Stock,
    /// Both
    All,
}

/// Arguments of `imprint image list`.
#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    /// Whose images
    #[arg(long, value_enum, default_value_t = Scope::Own)]
    pub(crate) scope: Scope,
    /// Only images with one of these statuses
    #[arg(long, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<ImageStatus>,
    /// created_at, name or size_bytes; with `-` in front the other way round
    #[arg(long, allow_hyphen_values = true, default_value = "-created_at", value_name = "FIELD")]
    pub(crate) sort: String,
}

/// Arguments of `imprint image create`.
#[derive(Debug, Args)]
pub(crate) struct ImageCreateArgs {
    /// The instance whose primary disk is captured, by id or name
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) from_instance: String,
    /// The image's name
    #[arg(long)]
    pub(crate) name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// none, zlib or zstd [default: zstd]
    #[arg(long, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    /// How consistent the disk should be: crash, filesystem or application [default: application]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) want: Option<Consistency>,
    /// The weakest level that is a success [default: crash]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) minimum: Option<Consistency>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Whether to wait for the task.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait for the end of the task, and show how far it is
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Arguments of `imprint instance`.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: InstanceCommand,
}

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// List instances, newest first
    List,
    /// Show an instance
    Show {
        /// Its id or name
        instance: String,
    },
    /// Create an instance from an image
    Create(InstanceCreateArgs),
    /// Start an instance
    Start {
        /// Its id or name
        instance: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Shut an instance down
    Stop {
        /// Its id or name
        instance: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Delete an instance with its disks; images created from it stay
    Delete {
        /// Its id or name
        instance: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// Arguments of `imprint instance create`.
#[derive(Debug, Args)]
pub(crate) struct InstanceCreateArgs {
    /// The image, by id or name
    #[arg(long)]
    pub(crate) image: String,
    /// The instance's name
    #[arg(long)]
    pub(crate) name: String,
    /// The hypervisor, by id or name [default: one of the image's location]
    #[arg(long)]
    pub(crate) hypervisor: Option<String>,
    /// Virtual processors [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) vcpus: Option<u32>,
    /// Memory, such as 512M or 2G [default: 512M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Size of the disk, such as 10G [default: the image's]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) disk_size: Option<u64>,
    /// A file with SSH public keys, one a line; may be given several times
    #[arg(long = "ssh-keys", value_name = "FILE")]
    pub(crate) ssh_keys: Vec<PathBuf>,
    /// A file with a user script or cloud-config
    #[arg(long, value_name = "FILE")]
    pub(crate) user_data: Option<PathBuf>,
    /// Leave it off
    #[arg(long)]
    pub(crate) no_start: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint task`.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List tasks, newest first
    List(TaskListArgs),
    /// Show a task
    Show {
        /// Its id
        task: TaskId,
    },
    /// Watch a task until it is over
    Watch {
        /// Its id
        task: TaskId,
    },
    /// Cancel a task; what it did is undone
    Cancel {
        /// Its id
        task: TaskId,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Try a failed or cancelled task again
    Retry {
        /// Its id
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

/// Arguments of `imprint admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

/// What operators do.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Merge the chain of layers behind the disk of a stopped instance into one file
    Coalesce {
        /// Its id or name
        instance: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Locations: list, set
    #[command(subcommand)]
    Location(LocationCommand),
}

/// What to do with locations.
#[derive(Debug, Subcommand)]
pub(crate) enum LocationCommand {
    /// List locations with their settings
    List,
    /// Change settings of a location; those that are not given stay
    Set(LocationSetArgs),
}

/// Arguments of `imprint admin location set`.
#[derive(Debug, Args)]
pub(crate) struct LocationSetArgs {
    /// Its id or name
    pub(crate) location: String,
    /// Whether customers may create images there
    #[arg(long, value_name = "BOOL")]
    pub(crate) images_enabled: Option<bool>,
    /// Whether the chain of a stopped instance's disk is merged before its image is created
    #[arg(long, value_name = "BOOL")]
    pub(crate) coalesce_before_capture: Option<bool>,
    /// How long merging a chain may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) coalesce_timeout: Option<u32>,
    /// How long a capture may freeze a guest's file systems, in milliseconds
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) freeze_limit_ms: Option<u32>,
}
