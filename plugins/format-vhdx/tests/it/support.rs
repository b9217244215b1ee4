//! The shared helpers, for this format.

use std::{fs::File, path::Path};

use format_vhdx::Vhdx;
pub(crate) use imprint_format_kit::{
    Numbers, all_findings, assert_sound, code, create, disk_in_file as whole_disk, faults, is_refused,
    noise as disk, whole_map,
};
use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format},
};

pub(crate) type Opened = <Vhdx as Format>::Image;
pub(crate) type Laid = <Vhdx as Format>::Layout;

/// Bytes of the mark, which makes the file valid and is written last.
const HEAD: u64 = 4096;

pub(crate) fn open_file(path: &Path) -> Result<Opened> {
    imprint_format_kit::open_file::<Vhdx>(path)
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    imprint_format_kit::open_bytes::<Vhdx>(bytes)
}

pub(crate) fn write_image(request: &CreateRequest, bytes: &[u8], path: &Path, page: u32) -> Result<()> {
    imprint_format_kit::write_image::<Vhdx>(request, bytes, path, page, HEAD)
}

pub(crate) fn finish(layout: &mut Laid, file: &File, end: u64, page: u32) {
    imprint_format_kit::write_tables(layout, file, end, page, HEAD);
}
