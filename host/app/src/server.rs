//! The server half of the command line: the control plane, the agent, and what both need of this
//! machine.

pub(crate) mod agent;
pub(crate) mod config;
mod demo;
mod local;
mod object_reader;
mod panel;
mod secret_keys;
pub(crate) mod serve;
pub(crate) mod settings;
mod signals;
mod upload_sender;
mod webhook_sender;
