//! `cargo xtask up`: from an empty checkout to a running demo.

use std::{os::unix::process::CommandExt, path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Args;

use crate::{guest, panel, plugins, setup, sh};

/// Options of `up`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the demo listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where the demo keeps its data; removed data means a fresh demo.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Prepare everything, but do not start it.
    #[arg(long)]
    no_start: bool,
}

/// How the host binary is built.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// For tests.
    Dev,
    /// For use.
    Release,
}

impl Profile {
    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the host binary; answers where it is.
pub(crate) fn build_host(profile: Profile) -> Result<PathBuf> {
    sh::say("building the imprint binary");
    let mut cargo = sh::cargo();
    cargo.args(["build", "--locked", "--package", "imprint"]);
    match profile {
        Profile::Dev => {}
        Profile::Release => {
            cargo.arg("--release");
        }
    }
    sh::run(&mut cargo)?;
    Ok(sh::target_dir()?.join(profile.folder()).join("imprint"))
}

/// Sets up, builds, and becomes the server: Ctrl-C reaches it directly.
pub(crate) fn up(options: &Options) -> Result<()> {
    let begun = Instant::now();
    setup::setup(setup::Purpose::Demo)?;
    plugins::build(plugins::Set::Shipped)?;
    panel::build()?;
    guest::build()?;
    let binary = build_host(Profile::Release)?;
    sh::say(&format!("ready after {} s", begun.elapsed().as_secs()));
    if options.no_start {
        return Ok(());
    }
    let data = options.data_dir.clone().unwrap_or_else(|| sh::dist().join("demo"));
    let mut server = sh::cmd(&binary.to_string_lossy(), ["serve", "--demo", "--listen", &options.listen]);
    server.arg("--data-dir").arg(data).arg("--stock-image").arg(guest::image());
    Err(server.exec().into())
}
