//! The reference implementation's tools.

use std::path::Path;

pub(crate) use imprint_format_kit::qemu::{Mapped, compare, run, run_any};

/// What `qemu-img info` says of a VHD's size.
pub(crate) fn virtual_size(path: &Path) -> u64 {
    imprint_format_kit::qemu::info("vpc", path)["virtual-size"].as_u64().unwrap()
}

pub(crate) fn map(path: &Path) -> Vec<Mapped> {
    imprint_format_kit::qemu::map("vpc", path)
}
