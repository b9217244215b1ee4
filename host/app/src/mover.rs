//! Where compressed images are decoded: in processes of their own, which are this program started
//! as `imprint mover`.

use std::{ffi::OsStr, process::ExitCode};

use anyhow::{Result, bail};
use imprint_data_path::mover::{self, MoverConfig};
use serde::Deserialize;

/// The word after the program's name. It is no command for people and stands in no help.
const COMMAND: &str = "mover";
/// Overrides the configuration file, and is the only way to say it to `imprint disk`.
const VARIABLE: &str = "IMPRINT_ISOLATION";

/// What the operator demands of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// Landlock and seccomp, or compressed images are refused.
    #[default]
    Required,
    /// A process of its own, with whatever the system offers.
    BestEffort,
    /// No process of its own.
    None,
}

impl Isolation {
    /// The variable if it is set, else the configuration file.
    pub(crate) fn chosen(file: Option<Self>) -> Result<Self> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(file.unwrap_or_default()) };
        match value.to_str() {
            Some("required") => Ok(Self::Required),
            Some("best-effort") => Ok(Self::BestEffort),
            Some("none") => Ok(Self::None),
            Some(_) | None => bail!("{VARIABLE} is not 'required', 'best-effort' or 'none'"),
        }
    }

    /// How movers are started under it, if any are.
    pub(crate) fn config(self) -> Option<MoverConfig> {
        let config = |best_effort| MoverConfig {
            // The very program that runs, even when its file has been replaced meanwhile.
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

/// The life of a mover, if that is what this process was started for. Before anything else: a mover
/// has no other threads.
pub(crate) fn take_over() -> Option<ExitCode> {
    (std::env::args_os().nth(1).as_deref() == Some(OsStr::new(COMMAND))).then(mover::mover_main)
}

/// From now on the jobs of this process use movers as the operator says.
pub(crate) fn configure(file: Option<Isolation>) -> Result<()> {
    if let Some(config) = Isolation::chosen(file)?.config() {
        mover::configure(config);
    }
    Ok(())
}
