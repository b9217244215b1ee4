//! The shared helpers, for this format.

use std::path::Path;

use format_vhd::Vhd;
pub(crate) use imprint_format_kit::{
    Numbers, aliased, all_findings, all_ranges, code, create, disk_in_bytes as whole_disk, faults, whole_map,
};
use imprint_plugin_sdk::{error::Result, format::Format, types::Props};

pub(crate) type Opened = <Vhd as Format>::Image;

pub(crate) fn open_file(path: &Path) -> Opened {
    imprint_format_kit::open_file::<Vhd>(path).unwrap()
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    imprint_format_kit::open_bytes::<Vhd>(bytes)
}

pub(crate) fn open_with(bytes: &[u8], options: &Props) -> Result<Opened> {
    imprint_format_kit::open_with::<Vhd>(bytes, options)
}
