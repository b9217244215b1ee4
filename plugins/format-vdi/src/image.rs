//! An open image: what the image states about itself, and where the disk's bytes are.

use imprint_plugin_sdk::{
    error::Result,
    format::{self, Findings, FormatError, Info, Page, wire::to_usize},
    host::Blob,
    types::{ByteRange, props},
};

use crate::{
    check::Check,
    header::{HEADER_END, Header, uuid_text},
    map::{self, Window},
};

/// An open VDI image.
///
/// Memory: 1 MiB of the map; while it is checked, a bit for each block of the disk, at most 8 MiB.
pub struct Image {
    blob: Box<dyn Blob>,
    header: Header,
    window: Window,
    check: Check,
}

impl Image {
    /// Opens the image and checks its header. The map is looked at as it is needed.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, FormatError> {
        let header = Header::read(blob.as_ref())?;
        Ok(Self { blob, header, window: Window::default(), check: Check::default() })
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        let header = &self.header;
        let mut facts = props([("version", "1.1"), ("id", &uuid_text(header.uuid))]);
        if header.stated_size != header.virtual_size {
            facts.insert("size-conflict".to_owned(), header.stated_size.to_string());
        }
        Ok(Info {
            format: "vdi".to_owned(),
            subformat: Some(header.kind.name().to_owned()),
            virtual_size: header.virtual_size,
            unit: u32::try_from(header.block).expect("at most 256 MiB"),
            facts,
        })
    }

    /// The header and the map.
    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        let header = ByteRange { offset: 0, length: HEADER_END };
        let map = ByteRange { offset: self.header.map_offset, length: self.header.map_length() };
        let ranges = [header, map].into_iter().filter(|range| range.length > 0);
        Ok(ranges.skip(to_usize(start)?).take(to_usize(max.into())?).collect())
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(map::page(self.blob.as_ref(), &self.header, &mut self.window, start, end, max)?)
    }

    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        Ok(self.check.page(self.blob.as_ref(), &self.header, start, max)?)
    }
}
