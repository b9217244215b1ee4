//! The client half of the command line: what speaks to a server over its HTTP API.
//!
//! Ground rules: answers go to standard output, everything else to standard error; tables and bars
//! are for terminals, JSON is for programs; a refusal shows the server's words and its code.
//! Nothing here knows the server's inside: it uses the same shapes as any other client.

mod admin;
mod api;
pub(crate) mod args;
mod connection;
mod credentials;
pub(crate) mod doctor;
mod failure;
mod find;
mod image;
mod instance;
mod login;
pub(crate) mod output;
mod retry;
mod table;
mod task;
mod watch;

use args::ClientCommand;
pub(crate) use failure::Failure;

/// Carries out a command.
pub(crate) async fn run(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Login(args) => login::login(args).await,
        ClientCommand::Logout => login::logout().await,
        ClientCommand::Image(args) => image::run(args).await,
        ClientCommand::Instance(args) => instance::run(args).await,
        ClientCommand::Task(args) => task::run(args).await,
        ClientCommand::Admin(args) => admin::run(args).await,
    }
}
