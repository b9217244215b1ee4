//! The shared helpers, for this format.

use std::path::Path;

use format_vmdk::Vmdk;
pub(crate) use imprint_format_kit::{
    Numbers, aliased, all_findings, all_ranges, blob, code, disk_in_files as whole_disk, whole_map,
};
use imprint_plugin_sdk::{
    error::Result,
    format::{Format, Image as _},
};

pub(crate) type Opened = <Vmdk as Format>::Image;

pub(crate) fn open_file(path: &Path) -> Opened {
    imprint_format_kit::open_file::<Vmdk>(path).unwrap()
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    imprint_format_kit::open_bytes::<Vmdk>(bytes)
}

/// Opens a descriptor, and gives it the files that it names from the folder that it is in.
pub(crate) fn open_with_extents(path: &Path) -> (Opened, Vec<Vec<u8>>) {
    let mut image = open_file(path);
    let mut files = vec![std::fs::read(path).unwrap()];
    for (index, source) in image.sources().unwrap().into_iter().enumerate().skip(1) {
        let part = path.with_file_name(&source.reference);
        let blob = self::blob(&part);
        image.attach(u16::try_from(index).unwrap(), blob).unwrap();
        files.push(std::fs::read(part).unwrap());
    }
    (image, files)
}
