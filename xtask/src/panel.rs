//! The panel: built by Vite into `web/dist`, which the host binary embeds.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::sh;

/// The panel's folder.
pub(crate) fn dir() -> PathBuf {
    sh::root().join("web")
}

/// Runs an npm script of the panel.
pub(crate) fn npm(script: &[&str]) -> std::process::Command {
    let mut command = sh::cmd("npm", script);
    command
        .current_dir(dir())
        .env("CI", "true")
        .env("npm_config_fund", "false")
        .env("npm_config_audit", "false");
    command
}

/// Installs the panel's packages as the lock file names them, unless that is done.
pub(crate) fn install() -> Result<()> {
    let stamp = sh::dist().join("panel-packages");
    let lock = sh::fingerprint(&[dir().join("package-lock.json")])?;
    if sh::is_stamped(&stamp, &lock) && dir().join("node_modules").is_dir() {
        return Ok(());
    }
    sh::say("installing the panel's packages");
    sh::quiet(&mut npm(&["ci"])).context("npm ci failed")?;
    fs::create_dir_all(sh::dist())?;
    Ok(fs::write(stamp, lock)?)
}

/// Builds the panel, unless nothing has changed since the last time.
pub(crate) fn build() -> Result<()> {
    install()?;
    let skip =
        |name: &str| matches!(name, "node_modules" | "dist" | "e2e" | "test-results" | "playwright-report");
    let print = sh::fingerprint(&sh::files_below(&dir(), &skip)?)?;
    let stamp = sh::dist().join("panel");
    if sh::is_stamped(&stamp, &print) && dir().join("dist/index.html").is_file() {
        return Ok(());
    }
    sh::say("building the panel");
    sh::quiet(&mut npm(&["run", "build"])).context("the panel does not build")?;
    Ok(fs::write(stamp, print)?)
}
