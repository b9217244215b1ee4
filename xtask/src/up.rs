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
    let start = Instant::now();
    let mut binary = PathBuf::new();
    let steps: [(&str, &mut dyn FnMut() -> Result<()>); 5] = [
        ("checking the tools that the build needs", &mut || setup::setup(setup::Purpose::Demo)),
        ("building the plugins", &mut || plugins::build(plugins::Set::Shipped)),
        ("building the panel", &mut panel::build),
        ("making the demo's stock image", &mut guest::build),
        ("building the imprint binary, the longest step by far", &mut || {
            binary = build_host(Profile::Release)?;
            Ok(())
        }),
    ];
    let count = steps.len();
    for (number, (what, step)) in steps.into_iter().enumerate() {
        sh::say(&format!("step {} of {count}, after {}: {what}", number + 1, elapsed(start)));
        step()?;
    }
    sh::say(&format!("ready after {}", elapsed(start)));
    if options.no_start {
        return Ok(());
    }
    let data = options.data_dir.clone().unwrap_or_else(|| sh::dist().join("demo"));
    let mut server = sh::cmd(&binary.to_string_lossy(), ["serve", "--demo", "--listen", &options.listen]);
    server.arg("--data-dir").arg(data).arg("--stock-image").arg(guest::image());
    Err(server.exec().into())
}

/// Minutes and seconds since the start.
fn elapsed(start: Instant) -> String {
    let seconds = start.elapsed().as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}
