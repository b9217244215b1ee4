//! Garage, an S3 server for tests (AGPL-3.0: it is run by the tests, and never linked or shipped).
//! Its build takes too long for every run, so that it is made once by hand and kept outside of the
//! clone.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::sh;

const VERSION: &str = "2.5.0";
const FEATURES: &str = "bundled-libs,lmdb";

/// The folder that it is installed to; `tests/src/garage.rs` looks there.
fn folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("imprint/garage"))
}

/// Builds it, unless that version is there.
pub(crate) fn build() -> Result<()> {
    let folder = folder().context("neither XDG_CACHE_HOME nor HOME names a folder to keep Garage in")?;
    sh::say(&format!("Garage {VERSION} goes to {}; its build takes half an hour", folder.display()));
    let mut install = sh::cargo();
    install.args(["install", "garage", "--version", VERSION, "--locked", "-j1", "--no-default-features"]);
    install.args(["--features", FEATURES, "--root"]).arg(folder);
    sh::run(&mut install)
}

/// Says loudly that the tests with Garage do not run, where it was not built.
pub(crate) fn say_if_missing() {
    if folder().is_none_or(|folder| !folder.join("bin/garage").is_file()) {
        sh::say(
            "!! THE TESTS WITH GARAGE DO NOT RUN: it is not built. `cargo xtask setup --garage` builds it",
        );
    }
}
