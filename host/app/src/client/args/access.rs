//! Arguments of commands that write a disk for an instance.

use std::path::PathBuf;

use clap::Args;
use imprint_domain::{size::ByteSize, windows::DeclaredOs};

use super::{BusyArgs, ConfirmArgs, WaitArgs};

/// What an instance gets at the first start from its disk.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// File with SSH public keys, one per line; may be given several times
    #[arg(long = "ssh-keys", value_name = "FILE")]
    pub(crate) ssh_keys: Vec<PathBuf>,
    /// Saved SSH key, by id or name; may be given several times
    #[arg(long = "ssh-key", value_name = "KEY")]
    pub(crate) saved_keys: Vec<String>,
    /// File with a user script or cloud-config
    #[arg(long, value_name = "FILE", conflicts_with = "user_script")]
    pub(crate) user_data: Option<PathBuf>,
    /// Saved user script, by id or name
    #[arg(long, value_name = "SCRIPT")]
    pub(crate) user_script: Option<String>,
}

/// Arguments of `imprint instance reinstall`.
#[derive(Debug, Args)]
pub(crate) struct ReinstallArgs {
    /// Id or name
    pub(crate) instance: String,
    /// Image, by id or name
    #[arg(long)]
    pub(crate) image: String,
    /// Size of the disk, such as 10G [default: its present size, or that of the image if larger]
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
    pub(crate) busy: BusyArgs,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
