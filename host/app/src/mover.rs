//! The processes that decode compressed images: this program, started as `imprint mover`.

use std::{ffi::OsStr, process::ExitCode};

use anyhow::{Result, bail};
use imprint_data_path::mover::{self, MoverConfig};
use serde::Deserialize;

/// The first argument of such a process. It is an internal command, which no help lists.
const COMMAND: &str = "mover";
/// The variable that overrides the configuration file, and the only way to choose for
/// `imprint disk`.
const VARIABLE: &str = "IMPRINT_ISOLATION";

/// The isolation that the operator requires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// Landlock and seccomp, or compressed images are refused.
    #[default]
    Required,
    /// A process of its own, with the isolation that the system offers.
    BestEffort,
    /// No process of its own.
    None,
}

impl Isolation {
    /// Returns the value of the variable if it is set, else that of the configuration file.
    ///
    /// # Errors
    ///
    /// The variable has an unknown value.
    pub(crate) fn chosen(file: Option<Self>) -> Result<Self> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(file.unwrap_or_default()) };
        match value.to_str() {
            Some("required") => Ok(Self::Required),
            Some("best-effort") => Ok(Self::BestEffort),
            Some("none") => Ok(Self::None),
            Some(_) | None => bail!("{VARIABLE} is not 'required', 'best-effort' or 'none'"),
        }
    }

    /// Returns how movers are started, or `None` if images are decoded in this process.
    pub(crate) fn config(self) -> Option<MoverConfig> {
        let config = |best_effort| MoverConfig {
            // The running program, even if its file has been replaced since.
            program: "/proc/self/exe".into(),
            args: vec![COMMAND.into()],
            best_effort,
        };
        match self {
            Self::Required => Some(config(false)),
            Self::BestEffort => Some(config(true)),
            Self::None => None,
        }
    }
}

/// Runs a mover and returns its exit status, if this process was started as one. Called before
/// anything else: a mover has no other threads.
pub(crate) fn take_over() -> Option<ExitCode> {
    (std::env::args_os().nth(1).as_deref() == Some(OsStr::new(COMMAND))).then(mover::mover_main)
}

/// Makes this process decode compressed images with the chosen isolation.
///
/// # Errors
///
/// The variable has an unknown value.
pub(crate) fn configure(file: Option<Isolation>) -> Result<()> {
    if let Some(config) = Isolation::chosen(file)?.config() {
        mover::configure(config);
    }
    Ok(())
}
