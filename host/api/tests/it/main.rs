//! The API as its clients see it: a real server on a free port, with a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod agents;
mod app;
mod catalogue;
mod conventions;
mod downloads;
mod finding;
mod panel;
mod problems;
mod secrets;
mod sharing;
mod storages;
mod streams;
mod world;
