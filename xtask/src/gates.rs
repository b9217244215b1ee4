//! What has to hold of the sources and of what they depend on, besides what `tidy` checks.

use anyhow::Result;

use crate::{plugins, sh};

/// The target that plugins are built for.
const WASM: &str = "wasm32-wasip2";

/// Clippy over the whole workspace, and over the plugins as they are built for the sandbox. Any
/// warning fails it.
pub(crate) fn lints() -> Result<()> {
    sh::run(sh::cargo().args(["clippy", "--quiet", "--locked", "--workspace", "--all-targets"]).args(DENY))?;
    let mut wasm = sh::cargo();
    wasm.args(["clippy", "--quiet", "--locked", "--target", WASM]);
    for set in [plugins::Set::Shipped, plugins::Set::Hostile] {
        for name in set.names()? {
            wasm.args(["--package", &name]);
        }
    }
    sh::run(wasm.args(DENY))
}

const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// The documentation of all crates builds without a warning, links included.
pub(crate) fn documentation() -> Result<()> {
    let mut doc = sh::cargo();
    doc.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    sh::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences and bans by deny.toml, in the workspace and in the fuzz targets, and dependencies that
/// no source names.
pub(crate) fn dependencies() -> Result<()> {
    let config = sh::root().join("deny.toml");
    for manifest in ["Cargo.toml", "tests/fuzz/Cargo.toml"] {
        let mut deny = sh::cargo();
        deny.args(["deny", "--locked", "--log-level", "warn", "--manifest-path", manifest, "--config"]);
        sh::run(deny.arg(&config).args(["check", "licenses", "bans", "sources"]))?;
    }
    sh::run(sh::cargo().args(["machete", "--skip-target-dir"]))
}
