//! Movers: processes that do the work on bytes where a decoder written in C sees bytes of unknown
//! origin.
//!
//! One process a job. It has the descriptors of the files that the job reads and writes, and
//! nothing else: no path, no network, no other process, bounded memory (see `sandbox.rs` for what
//! it may call). The conversation with the format plugin and all that is named by a path stay in
//! the host. What a mover says is checked as a plugin's answers are; one that dies is a failed job
//! (`mover.died`), and nothing else.
//!
//! What is read or written and is no file (an NBD export, a part of a file, a pipe) is moved by the
//! host on the mover's behalf.

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

/// Says, once and before any job, how movers are started in this process: from then on
/// [`crate::Backend::default`] uses them. `false` when it was said before.
pub fn configure(config: MoverConfig) -> bool {
    set_default_backend(Backend::process(config))
}

impl Backend {
    /// A process for each job whose source has encoded units; other jobs are done by the threads of
    /// this process.
    pub fn process(config: MoverConfig) -> Self {
        Self(Arc::new(host::MoverBackend::new(config)))
    }
}
