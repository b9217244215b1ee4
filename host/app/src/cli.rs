//! The command line as a whole: every command of the binary, named after the noun it works on.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    client::args::{ClientCommand, Connection},
    disk::DiskCommand,
    plugin::PluginCommand,
    server::{agent::AgentArgs, serve::ServeArgs, settings::SettingsArgs},
};

/// Exit statuses, as the help and `docs/OPERATOR.md` list them.
const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  failed: the server, this machine, a task or a check; also when compared disks differ
  2  wrong usage
  3  refused: by the server, or because of the disk image
  4  not signed in, or the token is not valid any more";

/// Images of instances: capture, deploy, keep
#[derive(Parser)]
#[command(name = "imprint", version, propagate_version = true, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command of the binary.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the control plane, with an agent for this machine in the same process
    Serve(ServeArgs),
    /// Run the agent of a hypervisor
    Agent(AgentArgs),
    /// Bring the database's schema up to date
    Migrate(SettingsArgs),
    /// Check this machine and the server for problems
    Doctor(DoctorArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man page of every command to a directory
    Man {
        /// The directory
        dir: PathBuf,
    },
    /// Print the help of every command
    #[command(hide = true)]
    HelpAll,
    #[command(flatten)]
    Client(ClientCommand),
    /// Disk images in files: inspect, map, convert, check, digest, compare; no server needed
    #[command(subcommand)]
    Disk(DiskCommand),
    /// Plugins: list those of this machine, check and pack one of your own; no server needed
    #[command(subcommand)]
    Plugin(PluginCommand),
}

/// Arguments of `imprint doctor`.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
