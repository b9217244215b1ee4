//! The shared helpers, for this format.

use std::{fs::File, path::Path};

use format_vdi::Vdi;
pub(crate) use imprint_format_kit::{
    Numbers, all_findings, assert_sound, code, create, faults, is_refused, noise as disk, whole_map,
};
use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format},
};

pub(crate) type Opened = <Vdi as Format>::Image;
pub(crate) type Laid = <Vdi as Format>::Layout;

/// Bytes of the header, which makes the file valid and is written last.
const HEAD: u64 = 512;

pub(crate) fn open_file(path: &Path) -> Result<Opened> {
    imprint_format_kit::open_file::<Vdi>(path)
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    imprint_format_kit::open_bytes::<Vdi>(bytes)
}

/// The bytes of the disk, read by the map.
pub(crate) fn whole_disk(image: &mut Opened, path: &Path) -> Vec<u8> {
    imprint_format_kit::disk_in_file(image, path, &[])
}

pub(crate) fn write_image(request: &CreateRequest, bytes: &[u8], path: &Path, page: u32) -> Result<()> {
    imprint_format_kit::write_image::<Vdi>(request, bytes, path, page, HEAD)
}

pub(crate) fn finish(layout: &mut Laid, file: &File, end: u64, page: u32) {
    imprint_format_kit::write_tables(layout, file, end, page, HEAD);
}
