//! The binary as it is typed, against a control plane in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalogue;
mod client;
mod server;
