//! The arguments of `imprint storage`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use imprint_domain::{
    UnknownValue,
    size::ByteSize,
    storage::{StorageRole, StorageState},
    storage_scan::{ObjectAction, ObjectClass},
};

use super::{ConfirmArgs, Connection, WaitArgs};

/// Arguments of `imprint storage`.
#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: StorageCommand,
}

/// The commands of `imprint storage`.
#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// List image storages with their room and health
    List(StorageListArgs),
    /// Show an image storage with its images and what each hypervisor sees
    Show {
        /// Id or name
        storage: String,
    },
    /// Register an image storage; bind it to hypervisors next
    Create(StorageCreateArgs),
    /// Change an image storage; what is not named stays as it is
    Edit(StorageEditArgs),
    /// Test the connection to an image storage, or settings before one is created of them
    Test(StorageTestArgs),
    /// Look what is really on an image storage, and compare it with the images
    Scan(StorageScanArgs),
    /// List the latest scans of an image storage
    Scans {
        /// Id or name
        storage: String,
    },
    /// List what the last scan found on an image storage
    Browse(StorageBrowseArgs),
    /// Download an object of an image storage
    Download(StorageDownloadArgs),
    /// Show what would be done about what the last scan found; --apply does it
    Reconcile(StorageReconcileArgs),
    /// Make an image of an object that nothing refers to
    Adopt(StorageAdoptArgs),
    /// List the kinds of image storages that the hypervisors' plugins provide
    Kinds,
    /// Set or remove secrets of an image storage
    Secrets(StorageSecretsArgs),
    /// Bind an image storage to a hypervisor
    Bind {
        /// Storage, by id or name
        storage: String,
        /// Hypervisor, by id or name
        hypervisor: String,
    },
    /// Unbind an image storage from a hypervisor
    Unbind {
        /// Storage, by id or name
        storage: String,
        /// Hypervisor, by id or name
        hypervisor: String,
        /// Also when nothing can reach its images any more
        #[arg(long)]
        force: bool,
    },
    /// Move the images of an image storage to others, in the background
    Drain {
        /// Storage, by id or name
        storage: String,
        /// Storage that takes all of them, by id or name [default: chosen for each image]
        #[arg(long, value_name = "STORAGE")]
        to: Option<String>,
    },
    /// Delete an image storage without images; its files are not touched
    Delete {
        /// Id or name
        storage: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint storage list`.
#[derive(Debug, Args)]
pub(crate) struct StorageListArgs {
    /// Only those for this use: customer, stock or iso
    #[arg(long)]
    pub(crate) role: Option<StorageRole>,
    /// Only those in this state: active, read_only or draining
    #[arg(long)]
    pub(crate) state: Option<StorageState>,
    /// Only those of this kind, such as local
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only those bound to this hypervisor, by id or name
    #[arg(long)]
    pub(crate) hypervisor: Option<String>,
}

/// Arguments of `imprint storage create`.
#[derive(Debug, Args)]
pub(crate) struct StorageCreateArgs {
    /// Name of the image storage
    #[arg(long)]
    pub(crate) name: String,
    /// Use: customer, stock or iso
    #[arg(long)]
    pub(crate) role: StorageRole,
    /// Kind of plugin, such as local
    #[arg(long)]
    pub(crate) kind: String,
    /// Setting of the plugin, such as path=/srv/images; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Secret of the plugin, in a file; may be given several times
    #[arg(long = "secret", value_name = "KEY=FILE", value_parser = setting)]
    pub(crate) secrets: Vec<(String, String)>,
    /// How much it is preferred for new images, 0 to 1000 [default: 100]
    #[arg(long)]
    pub(crate) weight: Option<u32>,
    /// The path is the same storage on every machine
    #[arg(long)]
    pub(crate) shared_path: bool,
    /// Free space below which it is nearly full [default: 5 % of it, at most 10G]
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_free: Option<ByteSize>,
}

/// Arguments of `imprint storage edit`.
#[derive(Debug, Args)]
pub(crate) struct StorageEditArgs {
    /// Id or name
    pub(crate) storage: String,
    /// New name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Setting of the plugin to add or replace; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Setting of the plugin to remove; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) unset: Vec<String>,
    /// What it takes: active, read_only or draining
    #[arg(long)]
    pub(crate) state: Option<StorageState>,
    /// How much it is preferred for new images, 0 to 1000
    #[arg(long)]
    pub(crate) weight: Option<u32>,
    /// Whether the path is the same storage on every machine
    #[arg(long, value_name = "BOOL")]
    pub(crate) shared_path: Option<bool>,
    /// Free space below which it is nearly full
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_free: Option<ByteSize>,
}

/// Arguments of `imprint storage test`.
#[derive(Debug, Args)]
pub(crate) struct StorageTestArgs {
    /// Stored image storage, by id or name; without it, name a kind
    pub(crate) storage: Option<String>,
    /// Hypervisor that tries it, by id or name
    #[arg(long)]
    pub(crate) hypervisor: String,
    /// Kind of plugin, such as local, for settings that are not stored
    #[arg(long, conflicts_with = "storage", required_unless_present = "storage")]
    pub(crate) kind: Option<String>,
    /// Use: customer, stock or iso; only those of customers are written to
    #[arg(long, conflicts_with = "storage", default_value = "customer")]
    pub(crate) role: StorageRole,
    /// Setting of the plugin, such as path=/srv/images; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Secret of the plugin, in a file or `-` for standard input; may be given several times
    #[arg(long = "secret", value_name = "KEY=FILE", value_parser = setting)]
    pub(crate) secrets: Vec<(String, String)>,
}

/// Arguments of `imprint storage scan`.
#[derive(Debug, Args)]
pub(crate) struct StorageScanArgs {
    /// Id or name
    pub(crate) storage: String,
    /// Read the files of the images too, and compare their digests
    #[arg(long)]
    pub(crate) deep: bool,
    /// Hypervisor that looks, by id or name [default: one that reaches it]
    #[arg(long)]
    pub(crate) hypervisor: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint storage browse`.
#[derive(Debug, Args)]
pub(crate) struct StorageBrowseArgs {
    /// Id or name
    pub(crate) storage: String,
    /// Only objects of this class, such as orphan; may be given several times
    #[arg(long)]
    pub(crate) class: Vec<ObjectClass>,
    /// Only objects with keys that begin with this text
    #[arg(long)]
    pub(crate) prefix: Option<String>,
}

/// Arguments of `imprint storage download`.
#[derive(Debug, Args)]
pub(crate) struct StorageDownloadArgs {
    /// Id or name
    pub(crate) storage: String,
    /// Key of the object, as `imprint storage browse` lists it
    pub(crate) key: String,
    /// File to write; what an interrupted download left beside it (FILE.part) is continued
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Certificates (PEM) of authorities for a storage that is read directly over https://, in
    /// addition to those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Let all bytes come through the server, also where the storage can be read directly
    #[arg(long)]
    pub(crate) through_server: bool,
}

/// Arguments of `imprint storage reconcile`.
#[derive(Debug, Args)]
pub(crate) struct StorageReconcileArgs {
    /// Id or name
    pub(crate) storage: String,
    /// What to do about all objects of a class, such as orphan=delete; may be given several times
    /// [default: what is proposed for each class]
    #[arg(long = "class", value_name = "CLASS=ACTION", value_parser = class_action)]
    pub(crate) classes: Vec<(ObjectClass, ObjectAction)>,
    /// What to do about one object, such as delete=KEY; may be given several times
    #[arg(long = "object", value_name = "ACTION=KEY", value_parser = action_key)]
    pub(crate) keys: Vec<(ObjectAction, String)>,
    /// Do it; without it only the plan is shown
    #[arg(long)]
    pub(crate) apply: bool,
}

/// Arguments of `imprint storage adopt`.
#[derive(Debug, Args)]
pub(crate) struct StorageAdoptArgs {
    /// Id or name
    pub(crate) storage: String,
    /// Key of the object
    pub(crate) key: String,
    /// Name of the image
    #[arg(long)]
    pub(crate) name: String,
    /// Format of the file, such as qcow2
    #[arg(long)]
    pub(crate) format: String,
    /// Location where it can be used, by id or name
    #[arg(long)]
    pub(crate) location: String,
    /// Account that gets the image, by id or name; for storages of customers
    #[arg(long)]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint storage secrets`.
#[derive(Debug, Args)]
pub(crate) struct StorageSecretsArgs {
    /// Id or name
    pub(crate) storage: String,
    /// Secret to set, in a file or `-` for standard input; may be given several times
    #[arg(long = "secret", value_name = "KEY=FILE", value_parser = setting)]
    pub(crate) secrets: Vec<(String, String)>,
    /// Secret to remove; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) unset: Vec<String>,
}

pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn class_action(text: &str) -> Result<(ObjectClass, ObjectAction), String> {
    let (class, action) = text.split_once('=').ok_or("write it as CLASS=ACTION")?;
    Ok((
        class.parse().map_err(|error: UnknownValue| error.to_string())?,
        action.parse().map_err(|error: UnknownValue| error.to_string())?,
    ))
}

fn action_key(text: &str) -> Result<(ObjectAction, String), String> {
    let (action, key) = text.split_once('=').ok_or("write it as ACTION=KEY")?;
    Ok((action.parse().map_err(|error: UnknownValue| error.to_string())?, key.to_owned()))
}
