//! The arguments of `imprint ssh-key` and `imprint user-script`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfirmArgs, Connection};

/// Arguments of `imprint ssh-key`.
#[derive(Debug, Args)]
pub(crate) struct SshKeyArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: SshKeyCommand,
}

/// The commands of `imprint ssh-key`.
#[derive(Debug, Subcommand)]
pub(crate) enum SshKeyCommand {
    /// List saved keys, oldest first
    List,
    /// Show a saved key
    Show {
        /// Id or name
        key: String,
    },
    /// Save a public key
    Create {
        /// Name of the key
        #[arg(long)]
        name: String,
        /// File with the public key, such as ~/.ssh/id_ed25519.pub
        file: PathBuf,
    },
    /// Rename a key
    Rename {
        /// Id or name
        key: String,
        /// The new name
        name: String,
    },
    /// Delete a key; instances that have it keep it
    Delete {
        /// Id or name
        key: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint user-script`.
#[derive(Debug, Args)]
pub(crate) struct UserScriptArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: UserScriptCommand,
}

/// The commands of `imprint user-script`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserScriptCommand {
    /// List saved scripts, oldest first
    List,
    /// Show a saved script with its content
    Show {
        /// Id or name
        script: String,
    },
    /// Save a script or cloud-config
    Create {
        /// Name of the script
        #[arg(long)]
        name: String,
        /// File with the script, at most 64 KiB
        file: PathBuf,
    },
    /// Change the name or the content of a script
    Update {
        /// Id or name
        script: String,
        /// The new name
        #[arg(long)]
        name: Option<String>,
        /// File with the new content
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Delete a script; instances that were made with it are not affected
    Delete {
        /// Id or name
        script: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}
