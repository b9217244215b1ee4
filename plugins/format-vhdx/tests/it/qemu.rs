//! The reference implementation's tools.

use std::path::Path;

pub(crate) use imprint_format_kit::qemu::run;

/// Expects that `qemu-img check` finds nothing.
pub(crate) fn check(path: &Path) {
    imprint_format_kit::qemu::check("vhdx", path);
}

/// What `qemu-img info` says.
pub(crate) fn info(path: &Path) -> serde_json::Value {
    imprint_format_kit::qemu::info("vhdx", path)
}

/// The bytes of the disk of an image, as QEMU reads it.
pub(crate) fn disk(path: &Path) -> Vec<u8> {
    imprint_format_kit::qemu::disk("vhdx", path)
}
