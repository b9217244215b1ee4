//! Components for the tests: built once a process by cargo, or taken finished from the
//! folder that `cargo xtask test` names in `IMPRINT_DIST`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use imprint_plugin_runtime::{HostOptions, PluginHost, PluginSource, manifest::section};

const NAMES: [&str; 5] =
    ["hostile-driver", "hostile-format", "hostile-inspector", "hostile-storage", "hostile-stream"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The target folder of the plugins: another one than the tests' may be named, so that the two
/// builds share no lock.
fn target_dir() -> PathBuf {
    let named = ["IMPRINT_PLUGIN_TARGET_DIR", "CARGO_TARGET_DIR"].into_iter().find_map(env::var_os);
    named.map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Cargo itself knows whether anything is to do, and its lock keeps test processes from building
/// twice.
fn build() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "--profile", "plugin", "--target", "wasm32-wasip2"]);
        for name in NAMES {
            cargo.args(["--package", name]);
        }
        cargo.current_dir(workspace()).env("CARGO_TARGET_DIR", target_dir());
        // What cargo sets for this test's own build must not reach the other one.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let output = cargo.output().expect("cargo runs");
        let output_text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the test plugins do not build (is wasm32-wasip2 installed?): {output_text}"
        );
        target_dir().join("wasm32-wasip2/plugin")
    };
    BUILT.get_or_init(build).clone()
}

/// A shipped plugin as it is embedded, from the folder that `IMPRINT_DIST` names, or `.dist`.
pub(crate) fn shipped(name: &str) -> Vec<u8> {
    let dist = env::var_os("IMPRINT_DIST").map_or_else(|| workspace().join(".dist"), PathBuf::from);
    let file = dist.join(format!("plugins/{name}.wasm"));
    fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build plugins`", file.display()))
}

/// A component that was built before the tests.
fn finished(name: &str) -> Option<Vec<u8>> {
    let dist = PathBuf::from(env::var_os("IMPRINT_DIST")?);
    let file = dist.join(format!("hostile-plugins/{name}.wasm"));
    Some(fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// A component without its manifest.
pub(crate) fn bare(name: &str) -> Vec<u8> {
    if let Some(mut bytes) = finished(name) {
        let section = section::append(&[], &manifest(name));
        assert!(bytes.ends_with(&section), "{name} was built with another manifest; build it again");
        bytes.truncate(bytes.len() - section.len());
        return bytes;
    }
    let file = build().join(format!("{}.wasm", name.replace('-', "_")));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The manifest in the sources.
pub(crate) fn manifest(name: &str) -> String {
    let file = workspace().join(format!("tests/hostile-plugins/{name}/plugin.toml"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A finished component.
pub(crate) fn component(name: &str) -> Vec<u8> {
    finished(name).unwrap_or_else(|| section::append(&bare(name), &manifest(name)))
}

/// A host with these plugins.
pub(crate) async fn host(names: &[&str]) -> PluginHost {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    for name in names {
        host.load_component(&component(name), PluginSource::Embedded).await.unwrap();
    }
    host
}
