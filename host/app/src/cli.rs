//! The command line as a whole: every command of the binary, named after what it works on.

use clap::{Args, Parser, Subcommand};

use crate::{
    agent_cmd::AgentArgs,
    client::args::{ClientCommand, Connection},
    disk::DiskCommand,
    serve::{CommonArgs, ServeArgs},
};

/// Images of instances: capture, deploy, keep
#[derive(Parser)]
#[command(
    name = "imprint",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 done; 1 failed; 2 wrong usage; 3 refused."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the control plane, with an agent for this machine inside
    Serve(ServeArgs),
    /// Run the agent of a hypervisor
    Agent(AgentArgs),
    /// Bring the database's schema up to date
    Migrate(CommonArgs),
    /// Look for what is wrong, on this machine and with the server
    Doctor(DoctorArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the help of every command
    #[command(hide = true)]
    HelpAll,
    #[command(flatten)]
    Client(ClientCommand),
    /// Disk images in files: inspect, map, convert, check, digest, compare; no server needed
    #[command(subcommand)]
    Disk(DiskCommand),
}

/// Arguments of `imprint doctor`.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
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
