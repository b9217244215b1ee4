//! The reference implementation's tools.

use std::path::Path;

pub(crate) use imprint_format_kit::qemu::{Mapped, compare, run, run_any};
use serde::Deserialize;

pub(crate) fn map(path: &Path) -> Vec<Mapped> {
    imprint_format_kit::qemu::map("qcow2", path)
}

/// What `qemu-img check` counts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Checked {
    #[serde(default)]
    pub(crate) corruptions: usize,
    #[serde(default)]
    pub(crate) leaks: usize,
}

pub(crate) fn check(path: &Path) -> Checked {
    let output = run_any("qemu-img", &["check", "--output=json", "-f", "qcow2", path.to_str().unwrap()]);
    serde_json::from_slice(&output.stdout).unwrap()
}
