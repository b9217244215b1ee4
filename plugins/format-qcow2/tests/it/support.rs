//! The shared helpers, for this format.

use std::path::Path;

use format_qcow2::Qcow2;
pub(crate) use imprint_format_kit::{
    Numbers, all_findings, all_ranges, code, count, create, disk_in_bytes as whole_disk, whole_map,
};
use imprint_plugin_sdk::{error::Result, format::Format};

pub(crate) type Opened = <Qcow2 as Format>::Image;

pub(crate) fn open_file(path: &Path) -> Opened {
    imprint_format_kit::open_file::<Qcow2>(path).unwrap()
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    imprint_format_kit::open_bytes::<Qcow2>(bytes)
}

/// Whether things that are stored share bytes. The last sector of an encoded cluster may be shared.
pub(crate) fn aliased(image: &mut Opened) -> Result<bool> {
    imprint_format_kit::aliased_behind(image, |start, end| ((end - 1) / 512 * 512).max(start + 1))
}
