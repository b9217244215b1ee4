//! Movers: processes that do the work on bytes where a decoder written in C handles bytes of
//! unknown origin.
//!
//! One process for each operation. It has the descriptors of the files that the operation reads and
//! writes, and nothing else: no path, no network, no other process, bounded memory (see
//! `sandbox.rs` for the permitted system calls). The conversation with the format plugin and
//! everything that is named by a path stay in the host. A mover's answers are checked as a plugin's
//! are; one that dies is a failed operation (`mover.died`), and nothing else.
//!
//! The host reads and writes on the mover's behalf what is no file (an NBD export, a part of a
//! file, a pipe).

mod channel;
mod config;
mod error;
mod host;
mod map;
mod message;
mod process;
mod sandbox;
mod wire;
mod wire_error;

use std::sync::Arc;

use crate::transfer::options::{Backend, set_default_backend};

pub use config::MoverConfig;
pub use error::MoverError;
pub use process::mover_main;
pub use sandbox::Isolation;

/// Sets, once and before any operation, how this process starts movers: [`crate::Backend::default`]
/// uses them from then on. Returns `false` when it was set before.
pub fn configure(config: MoverConfig) -> bool {
    set_default_backend(Backend::process(config))
}

impl Backend {
    /// Returns a backend that starts a process for each operation whose source has encoded units;
    /// other operations use the threads of this process.
    pub fn process(config: MoverConfig) -> Self {
        Self(Arc::new(host::MoverBackend::new(config)))
    }
}
