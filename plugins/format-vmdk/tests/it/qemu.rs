//! The reference implementation's tools.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

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

/// Expects that the image's own structures are clean.
pub(crate) fn check(path: &Path) {
    run("qemu-img", &["check", "-f", "vmdk", path.to_str().unwrap()]);
}

/// What `qemu-img info` says.
pub(crate) fn info(path: &Path) -> serde_json::Value {
    let output = run("qemu-img", &["info", "--output=json", "-f", "vmdk", path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Expects that two images hold the same disk.
pub(crate) fn compare(one: &Path, one_format: &str, two: &Path, two_format: &str) {
    let args = ["compare", "-f", one_format, "-F", two_format, one.to_str().unwrap(), two.to_str().unwrap()];
    run("qemu-img", &args);
}
