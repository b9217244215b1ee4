//! The reference implementation's tools.

use std::path::Path;

pub(crate) use imprint_format_kit::qemu::{compare, run};

/// Expects that the image's own structures are clean.
pub(crate) fn check(path: &Path) {
    imprint_format_kit::qemu::check("vmdk", path);
}

/// What `qemu-img info` says.
pub(crate) fn info(path: &Path) -> serde_json::Value {
    imprint_format_kit::qemu::info("vmdk", path)
}
