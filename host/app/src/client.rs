//! The client half of the command line: the commands that use a server's HTTP API.
//!
//! Ground rules: answers go to standard output, everything else to standard error; tables and
//! progress bars are for terminals, JSON is for programs; a refusal shows the server's text and its
//! code. The client uses the same shapes as any other client of the API.

mod account;
mod admin;
mod api;
pub(crate) mod args;
mod billing;
mod confirm;
mod connection;
mod credentials;
pub(crate) mod doctor;
mod download;
mod export;
pub(crate) mod failure;
mod find;
mod hypervisor;
mod image;
mod image_details;
mod import;
mod instance;
mod instance_details;
mod iso;
mod location;
mod login;
mod media_group;
pub(crate) mod output;
mod owned_storage;
mod retry;
mod saved;
mod share;
mod stock_image;
mod storage;
mod storage_download;
mod storage_scan;
mod storage_test;
pub(crate) mod table;
mod task;
mod watch;
mod webhook;

use std::process::ExitCode;

use args::ClientCommand;

/// Runs a command and returns the exit status of the process.
pub(crate) async fn run(command: ClientCommand) -> ExitCode {
    let format = command.output_format();
    let result = match command {
        ClientCommand::Login(args) => login::login(args).await,
        ClientCommand::Logout => login::logout().await,
        ClientCommand::Image(args) => image::run(args).await,
        ClientCommand::Instance(args) => instance::run(args).await,
        ClientCommand::Iso(args) => iso::run(args).await,
        ClientCommand::Hypervisor(args) => hypervisor::run(args).await,
        ClientCommand::Location(args) => location::run(args).await,
        ClientCommand::Task(args) => task::run(args).await,
        ClientCommand::SshKey(args) => saved::ssh_key(args).await,
        ClientCommand::UserScript(args) => saved::user_script(args).await,
        ClientCommand::Webhook(args) => webhook::webhook(args).await,
        ClientCommand::StockImage(args) => stock_image::run(args).await,
        ClientCommand::MediaGroup(args) => media_group::run(args).await,
        ClientCommand::Storage(args) => storage::run(args).await,
        ClientCommand::Usage(args) => billing::usage(args).await,
        ClientCommand::Billing(args) => billing::billing(args).await,
        ClientCommand::Admin(args) => admin::run(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}
