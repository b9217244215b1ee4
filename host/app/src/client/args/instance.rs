//! Arguments of `imprint instance`.

use clap::{Args, Subcommand};
use imprint_domain::{size::ByteSize, windows::DeclaredOs};

use super::{
    AccessArgs, AttachDiskArgs, BusyArgs, ConfirmArgs, Connection, DetachDiskArgs, EjectIsoArgs,
    MountIsoArgs, ReinstallArgs, WaitArgs,
};

/// Arguments of `imprint instance`.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: InstanceCommand,
}

/// The commands of `imprint instance`.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// List instances, newest first
    List,
    /// Show an instance
    Show {
        /// Id or name
        instance: String,
    },
    /// Create an instance from an image, or with an empty disk to install a system on
    Create(Box<InstanceCreateArgs>),
    /// Start an instance
    Start {
        /// Id or name
        instance: String,
        #[command(flatten)]
        busy: BusyArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Shut an instance down
    Stop {
        /// Id or name
        instance: String,
        #[command(flatten)]
        busy: BusyArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Write the primary disk of an instance anew from an image; everything on it is lost
    Reinstall(ReinstallArgs),
    /// Put an ISO into the drive of an instance
    MountIso(MountIsoArgs),
    /// Take the ISO out of the drive of an instance
    EjectIso(EjectIsoArgs),
    /// Attach an empty disk to an instance; images of the instance do not contain it
    AttachDisk(AttachDiskArgs),
    /// Detach a disk from an instance and remove it with its content
    DetachDisk(DetachDiskArgs),
    /// Delete an instance with its disks; images created from it stay
    Delete {
        /// Id or name
        instance: String,
        #[command(flatten)]
        busy: BusyArgs,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// Arguments of `imprint instance create`.
#[derive(Debug, Args)]
pub(crate) struct InstanceCreateArgs {
    /// Image, by id or name; without it and without a family the disk is empty
    #[arg(long, required_unless_present_any = ["family", "disk_size"], conflicts_with = "family")]
    pub(crate) image: Option<String>,
    /// Family of stock images, such as debian-12: its latest version that is not deprecated
    #[arg(long)]
    pub(crate) family: Option<String>,
    /// With an empty disk: ISO to boot from first, by id or name
    #[arg(long, conflicts_with_all = ["image", "family"])]
    pub(crate) iso: Option<String>,
    /// Location, by id or name [default: that of the hypervisor, of the ISO, or of the family]
    #[arg(long, conflicts_with = "image")]
    pub(crate) location: Option<String>,
    /// Name of the instance
    #[arg(long)]
    pub(crate) name: String,
    /// Hypervisor, by id or name [default: one in the image's location]
    #[arg(long)]
    pub(crate) hypervisor: Option<String>,
    /// Number of virtual processors [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) vcpus: Option<u32>,
    /// Size of the memory, such as 512M or 1.5G [default: 512M]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Size of the disk, such as 10G [default: that of the image]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_size: Option<ByteSize>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// What it runs: linux, windows or other; images of Windows have limits of their own
    #[arg(long, value_name = "TYPE")]
    pub(crate) os_type: Option<DeclaredOs>,
    /// Do not start the instance
    #[arg(long)]
    pub(crate) no_start: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
