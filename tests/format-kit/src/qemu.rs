//! The reference implementation's tools. Formats are named as these tools name them.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use serde::Deserialize;

/// Runs a tool and expects success.
pub fn run<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Output {
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
pub fn run_any<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Output {
    Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{tool} is needed for this test: {error}"))
}

/// One line of `qemu-img map`, in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Mapped {
    /// Virtual offset.
    pub start: u64,
    /// Virtual length.
    pub length: u64,
    /// Number of the layer that answers: 0 is the image itself.
    pub depth: u32,
    /// Some layer holds it.
    pub present: bool,
    /// Reads as zeroes.
    pub zero: bool,
    /// Stored encoded.
    #[serde(default)]
    pub compressed: bool,
    /// Where in the file, if it is stored as it is.
    pub offset: Option<u64>,
}

/// What `qemu-img map` says.
pub fn map(format: &str, path: &Path) -> Vec<Mapped> {
    let output = run("qemu-img", &["map", "--output=json", "-f", format, path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `qemu-img info` says.
pub fn info(format: &str, path: &Path) -> serde_json::Value {
    let output = run("qemu-img", &["info", "--output=json", "-f", format, path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Expects that `qemu-img check` finds nothing.
pub fn check(format: &str, path: &Path) {
    run("qemu-img", &["check", "-f", format, path.to_str().unwrap()]);
}

/// Expects that two images hold the same disk.
pub fn compare(one: &Path, one_format: &str, two: &Path, two_format: &str) {
    let args = ["compare", "-f", one_format, "-F", two_format, one.to_str().unwrap(), two.to_str().unwrap()];
    run("qemu-img", &args);
}

/// The bytes of the disk of an image, as QEMU reads it.
pub fn disk(format: &str, path: &Path) -> Vec<u8> {
    let raw = path.with_extension("by-qemu");
    run("qemu-img", &["convert", "-f", format, "-O", "raw", path.to_str().unwrap(), raw.to_str().unwrap()]);
    std::fs::read(raw).unwrap()
}
