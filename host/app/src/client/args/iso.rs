//! The arguments of `imprint iso`, and those of an instance's drive and disks.

use clap::{Args, Subcommand};
use imprint_domain::{id::DiskId, iso::IsoOsType, size::ByteSize};

use super::{ConfirmArgs, Connection, WaitArgs};

/// Arguments of `imprint iso`.
#[derive(Debug, Args)]
pub(crate) struct IsoArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: IsoCommand,
}

/// The commands of `imprint iso`.
#[derive(Debug, Subcommand)]
pub(crate) enum IsoCommand {
    /// List the ISOs that can be mounted
    List {
        /// Only those of this location, by id or name
        #[arg(long)]
        location: Option<String>,
        /// For operators: all ISOs, with their status
        #[arg(long, conflicts_with = "location")]
        all: bool,
    },
    /// For operators: register a file of an image storage with the role `iso`
    Register(IsoRegisterArgs),
    /// For operators: change the name, the description or the visibility of an ISO
    Update(IsoUpdateArgs),
    /// For operators: remove an ISO that no instance has mounted; its file stays
    Delete {
        /// Id or name
        iso: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint iso register`.
#[derive(Debug, Args)]
pub(crate) struct IsoRegisterArgs {
    /// Image storage with the file, by id or name
    #[arg(long)]
    pub(crate) storage: String,
    /// Key of the file in the storage
    #[arg(long)]
    pub(crate) key: String,
    /// Location where it can be mounted, by id or name
    #[arg(long)]
    pub(crate) location: String,
    /// Name of the ISO
    #[arg(long)]
    pub(crate) name: String,
    /// Description of the ISO
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Family of its system: linux, windows, bsd or other
    #[arg(long, value_name = "FAMILY")]
    pub(crate) os_type: Option<IsoOsType>,
    /// Do not show it to customers
    #[arg(long)]
    pub(crate) hidden: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint iso update`. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct IsoUpdateArgs {
    /// Id or name
    pub(crate) iso: String,
    /// The new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The new description
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Family of its system: linux, windows, bsd or other
    #[arg(long, value_name = "FAMILY")]
    pub(crate) os_type: Option<IsoOsType>,
    /// Whether customers do not see it
    #[arg(long, value_name = "BOOL")]
    pub(crate) hidden: Option<bool>,
}

/// Arguments of `imprint instance mount-iso`.
#[derive(Debug, Args)]
pub(crate) struct MountIsoArgs {
    /// Id or name of the instance
    pub(crate) instance: String,
    /// Id or name of the ISO
    pub(crate) iso: String,
    /// Boot from it first, at the next start and at each one after it until it is ejected
    #[arg(long)]
    pub(crate) boot: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint instance eject-iso`.
#[derive(Debug, Args)]
pub(crate) struct EjectIsoArgs {
    /// Id or name of the instance
    pub(crate) instance: String,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint instance attach-disk`.
#[derive(Debug, Args)]
pub(crate) struct AttachDiskArgs {
    /// Id or name of the instance
    pub(crate) instance: String,
    /// Size of the disk, such as 10G
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: ByteSize,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `imprint instance detach-disk`.
#[derive(Debug, Args)]
pub(crate) struct DetachDiskArgs {
    /// Id or name of the instance
    pub(crate) instance: String,
    /// Id of the disk
    pub(crate) disk: DiskId,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
