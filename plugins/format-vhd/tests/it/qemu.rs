//! The reference implementation's tools.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use serde::Deserialize;

/// What `qemu-img info` says of a VHD's size.
pub(crate) fn virtual_size(path: &Path) -> u64 {
    let output = run("qemu-img", &["info", "--output=json", "-f", "vpc", path.to_str().unwrap()]);
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    info["virtual-size"].as_u64().unwrap()
}

/// Runs a tool and expects success.
pub(crate) fn run<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Output {
    let output = run_any(tool, args);
    assert!(
        output.status.success(),
        "{tool} {:?}: {}{}",
        args.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// Runs a tool, however it ends.
pub(crate) fn run_any<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Output {
    Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{tool} is needed for this test: {error}"))
}

/// One line of `qemu-img map`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Mapped {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) zero: bool,
    pub(crate) offset: Option<u64>,
}

pub(crate) fn map(path: &Path) -> Vec<Mapped> {
    let output = run("qemu-img", &["map", "--output=json", "-f", "vpc", path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Expects that two images hold the same disk.
pub(crate) fn compare(one: &Path, one_format: &str, two: &Path, two_format: &str) {
    let args = ["compare", "-f", one_format, "-F", two_format, one.to_str().unwrap(), two.to_str().unwrap()];
    run("qemu-img", &args);
}
