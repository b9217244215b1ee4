//! `imprint plugin`: the plugins of this machine, and tools for their authors.

mod check;
mod list;
mod pack;
mod test;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use imprint_plugin_runtime::{LoadError, PluginInfo, PluginSource};
use imprint_ports::error_chain;

use crate::{
    client::{failure::Failure, output::Output},
    output_format::OutputFormat,
};

/// A command for plugins.
#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// List the plugins of this machine: the shipped ones, and those of the configured folder
    List(list::ListArgs),
    /// Load a plugin as the host does, and show what it is and what it asks for
    Check(check::CheckArgs),
    /// Add the manifest to a component, which makes it a plugin
    Pack(pack::PackArgs),
    /// Run the suite that every storage has to pass on a plugin, in a folder of its own
    Test(test::TestArgs),
}

/// The argument of every command here.
#[derive(Args, Clone, Copy)]
pub(crate) struct OutputArgs {
    /// Format of the answer [default: table on a terminal, else json]
    #[arg(long, short, value_enum)]
    output: Option<OutputFormat>,
}

/// Runs a command.
pub(crate) async fn run(command: PluginCommand) -> ExitCode {
    let (output, outcome) = match command {
        PluginCommand::List(args) => (args.output, list::list(args).await),
        PluginCommand::Check(args) => (args.output, check::check(args).await),
        PluginCommand::Test(args) => (args.output, test::test(args).await),
        PluginCommand::Pack(args) => (args.output(), pack::pack(args).await),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(output.output),
    }
}

impl OutputArgs {
    fn output(self) -> Output {
        Output::new(self.output)
    }
}

/// Returns where a plugin comes from, if that is not the binary: its file, and what it replaces.
pub(crate) fn origin(plugin: &PluginInfo) -> Option<String> {
    let PluginSource::File(file) = &plugin.source else { return None };
    let file = file.display();
    Some(match &plugin.replaces {
        Some(version) => format!("{file}, replaces the shipped {version}"),
        None => file.to_string(),
    })
}

/// Returns the failure of a plugin that cannot be used.
fn refused(file: &std::path::Path, error: &LoadError) -> Failure {
    Failure::Plugin { file: file.display().to_string(), reason: error_chain(error) }
}
