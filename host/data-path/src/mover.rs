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
mod error;
mod host;
mod map;
mod message;
mod process;
mod sandbox;
mod wire;

use std::{ffi::OsString, path::PathBuf, sync::OnceLock};

pub use error::MoverError;
pub use process::mover_main;
pub use sandbox::Isolation;

/// How movers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoverConfig {
    /// The program; it calls [`mover_main`] before it does anything else.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Goes on where the system does not offer all of the sandbox. Otherwise that is an error,
    /// `mover.sandbox`.
    pub best_effort: bool,
}

impl MoverConfig {
    /// Starts one mover, asks what holds it in, and ends it. Blocks.
    pub fn probe(&self) -> Result<Isolation, MoverError> {
        host::probe(self)
    }
}

static CONFIGURED: OnceLock<MoverConfig> = OnceLock::new();

/// Says, once and before any job, how movers are started in this process: from then on
/// [`crate::Mover::default`] uses them. `false` when it was said before.
pub fn configure(config: MoverConfig) -> bool {
    CONFIGURED.set(config).is_ok()
}

pub(crate) fn configured() -> Option<&'static MoverConfig> {
    CONFIGURED.get()
}

impl crate::Mover {
    /// A process for each job whose source has encoded units; other jobs are done by the threads of
    /// this process.
    pub fn process(config: MoverConfig) -> Self {
        Self(std::sync::Arc::new(host::Process::new(config)))
    }
}
