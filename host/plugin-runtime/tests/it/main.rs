//! The runtime with real components: plugins that misbehave in every known way, and one that does
//! not.

#![expect(clippy::unwrap_used, reason = "a test fails at the line that cannot continue")]

mod cache;
mod codes;
mod components;
mod driver;
mod format;
mod inspector;
mod large;
mod loading;
mod parts;
mod storage;
mod stream;
