//! An open image: what it says of itself, and where the disk's bytes are.

use imprint_plugin_sdk::{
    format::{Info, MapBuilder, Page},
    host::Blob,
    types::{ByteRange, props},
};

use crate::{
    error::VdiError,
    header::{Header, uuid_text},
    map::{CALL_ENTRIES, Entry, Used, Window, stored_at},
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;

/// An open VDI image.
///
/// Memory: a bit for each block of the disk, at most 8 MiB, and 1 MiB of the map.
pub struct Image {
    pub(crate) blob: Box<dyn Blob>,
    pub(crate) header: Header,
    pub(crate) used: Used,
    window: Window,
}

impl Image {
    /// Opens the image, and checks header and map.
    pub(crate) fn open(blob: Box<dyn Blob>) -> Result<Self, VdiError> {
        let header = Header::read(blob.as_ref())?;
        let used = Used::read(blob.as_ref(), &header)?;
        Ok(Self { blob, header, used, window: Window::default() })
    }

    /// What the image says of itself.
    pub(crate) fn info(&self) -> Info {
        let header = &self.header;
        let mut facts = props([("version", "1.1"), ("id", &uuid_text(header.uuid))]);
        if header.stated_size != header.virtual_size {
            facts.insert("size-conflict".to_owned(), header.stated_size.to_string());
        }
        Info {
            format: "vdi".to_owned(),
            subformat: Some(header.kind.name().to_owned()),
            virtual_size: header.virtual_size,
            unit: u32::try_from(header.block).expect("at most 256 MiB"),
            facts,
        }
    }

    /// The header and the map.
    pub(crate) fn metadata_ranges(&self, start: u64, max: u32) -> Vec<ByteRange> {
        let header = ByteRange { offset: 0, length: crate::header::HEADER_END };
        let map = ByteRange { offset: self.header.map_offset, length: self.header.map_length() };
        let skip = usize::try_from(start).unwrap_or(usize::MAX);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        [header, map].into_iter().filter(|range| range.length > 0).skip(skip).take(max).collect()
    }

    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded part of the map a
    /// call.
    pub(crate) fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page, VdiError> {
        let end = end.min(self.header.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let unit = self.header.block;
        let mut budget = CALL_ENTRIES;
        'page: while !map.is_full() && budget > 0 {
            let first = map.cursor() / unit;
            for entry in self.window.entries(self.blob.as_ref(), &self.header, first)? {
                budget = budget.saturating_sub(1);
                let (block, into) = (map.cursor() / unit, map.cursor() % unit);
                let rest = unit - into;
                let flow = match entry {
                    Entry::Free => map.hole(rest)?,
                    Entry::Zero => map.zero(rest)?,
                    Entry::Stored(number) => {
                        let at = stored_at(&self.header, self.blob.size(), block, number)?;
                        map.data(rest, 0, at + into)?
                    }
                };
                if flow.is_break() {
                    break 'page;
                }
            }
        }
        Ok(map.finish())
    }
}
