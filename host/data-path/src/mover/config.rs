//! How movers are started.

use std::{ffi::OsString, path::PathBuf};

/// How movers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoverConfig {
    /// The path of the program; it calls [`crate::mover::mover_main`] before it does anything else.
    pub program: PathBuf,
    /// The arguments of the program.
    pub args: Vec<OsString>,
    /// Whether to continue where the system does not offer all of the sandbox. Otherwise that is an
    /// error, `mover.sandbox`.
    pub best_effort: bool,
}
