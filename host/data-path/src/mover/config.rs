//! How movers are started.

use std::{ffi::OsString, path::PathBuf};

/// How movers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoverConfig {
    /// The program; it calls [`crate::mover::mover_main`] before it does anything else.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Goes on where the system does not offer all of the sandbox. Otherwise that is an error,
    /// `mover.sandbox`.
    pub best_effort: bool,
}
