//! `imprint`: the control plane, the agent, the client, and the tools for disk images, in one
//! binary.

mod agent_cmd;
mod assets;
mod cli;
mod client;
mod config;
mod demo;
mod disk;
mod doctor;
mod embedded;
mod help;
mod local;
mod mover;
mod plugin_ports;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if let Some(ended) = mover::take_over() {
        return ended;
    }
    let cli = Cli::parse();
    log(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::anyhow!(error).context("the runtime cannot be started")),
    };
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Serve(args) => serve::serve(args).await,
        Command::Agent(args) => agent_cmd::agent(args).await,
        Command::Migrate(args) => serve::migrate(args).await,
        Command::Doctor(args) => return doctor::doctor(args).await,
        Command::Openapi => help::print(&imprint_api::openapi_json()),
        Command::HelpAll => help::print(&help::all()),
        Command::Client(command) => {
            return match client::run(command).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.report(),
            };
        }
        Command::Disk(command) => match mover::configure(None) {
            Ok(()) => return disk::run(command).await,
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Servers log what they do; commands say only what went wrong. `RUST_LOG` overrides both.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) | Command::Agent(_) => "info",
        Command::Migrate(_)
        | Command::Doctor(_)
        | Command::Openapi
        | Command::HelpAll
        | Command::Client(_)
        | Command::Disk(_) => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

#[expect(clippy::print_stderr, reason = "the end of a command that failed")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(1)
}
