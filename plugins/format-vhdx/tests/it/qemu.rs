//! The reference implementation's tools.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs a tool and expects success.
pub(crate) fn run(tool: &str, args: &[&str]) -> Output {
    let output = run_any(tool, args);
    assert!(
        output.status.success(),
        "{tool} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// Runs a tool, however it ends.
pub(crate) fn run_any(tool: &str, args: &[&str]) -> Output {
    Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{tool} is needed for this test: {error}"))
}

/// Whether `qemu-img check` finds nothing.
pub(crate) fn check(path: &Path) {
    run("qemu-img", &["check", "-f", "vhdx", path.to_str().unwrap()]);
}

/// What `qemu-img info` says.
pub(crate) fn info(path: &Path) -> serde_json::Value {
    let output = run("qemu-img", &["info", "--output=json", "-f", "vhdx", path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The bytes of the disk of an image, as QEMU reads it.
pub(crate) fn disk(path: &Path) -> Vec<u8> {
    let raw = path.with_extension("by-qemu");
    run("qemu-img", &["convert", "-f", "vhdx", "-O", "raw", path.to_str().unwrap(), raw.to_str().unwrap()]);
    std::fs::read(raw).unwrap()
}
