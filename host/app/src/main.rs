//! `imprint`: the control plane, the agent, the client, and the tools for disk images, in one
//! binary.

mod answer_body;
mod authorities;
mod cli;
mod client;
mod disk;
mod doctor;
mod embedded;
mod errors;
mod findings_text;
mod help;
mod mover;
mod output_format;
mod plugin;
mod plugin_ports;
mod server;
mod terminal;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use cli::{Cli, Command};
use server::{agent, serve};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if let Some(status) = mover::take_over() {
        return status;
    }
    imprint_data_path::report_file_limit();
    let cli = Cli::parse();
    log(&cli.command);
    if let Command::Disk(command) = &cli.command
        && let Err(status) = disk::check_limits(command)
    {
        return status;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::anyhow!(error).context("cannot start the runtime")),
    };
    let is_local = matches!(cli.command, Command::Disk(_));
    let status = runtime.block_on(run(cli.command));
    if is_local {
        // A thread that waits for a server holds nothing that has to be put away.
        runtime.shutdown_background();
    }
    status
}

async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Serve(args) => serve::serve(args).await,
        Command::Agent(args) => agent::agent(args).await,
        Command::Migrate(args) => serve::migrate(args).await,
        Command::Doctor(args) => return doctor::doctor(args).await,
        Command::Openapi => help::print(&imprint_api::openapi_json()),
        Command::Completions { shell } => help::completions(shell),
        Command::Man { dir } => help::man_pages(&dir),
        Command::HelpAll => help::print(&help::all()),
        Command::Client(command) => return client::run(command).await,
        Command::Disk(command) => match mover::configure(None) {
            Ok(()) => return disk::run(command).await,
            Err(error) => Err(error),
        },
        Command::Plugin(command) => return plugin::run(command).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Starts the log: servers log what they do, commands only errors. `RUST_LOG` overrides both.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) | Command::Agent(_) => "info",
        Command::Migrate(_)
        | Command::Doctor(_)
        | Command::Openapi
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::HelpAll
        | Command::Client(_)
        | Command::Disk(_)
        | Command::Plugin(_) => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // The HTTP client logs addresses whole, with the passwords and signatures in them.
    let silent = ["ureq=off", "ureq_proto=off"].into_iter().filter_map(|directive| directive.parse().ok());
    let filter = silent.fold(filter, EnvFilter::add_directive);
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(colours).with_target(false).init();
}

fn failed(error: &anyhow::Error) -> ExitCode {
    terminal::note(&format!("error: {}", errors::describe(error)));
    ExitCode::from(1)
}
