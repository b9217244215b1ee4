//! The plugin: this crate behind the SDK's traits.

use imprint_plugin_sdk::{
    error::Result,
    format::{self, CreateRequest, Findings, Format, Guess, Info, MetadataPage, Page, Placed, Rules, Source},
    host::Blob,
    types::{ByteRange, Props},
};

use crate::{header::probe, image::Image, layout::Layout};

/// The VHDX format.
pub struct Vhdx;

impl Format for Vhdx {
    type Image = Image;
    type Layout = Layout;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        probe(head)
    }

    fn open(primary: Box<dyn Blob>, _options: &Props) -> Result<Image> {
        Ok(Image::open(primary)?)
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Ok(Layout::begin(request)?)
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        Ok(Image::info(self))
    }

    fn sources(&mut self) -> Result<Vec<Source>> {
        Ok(Image::sources(self))
    }

    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        Ok(Image::metadata_ranges(self, start, max)?)
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(Image::extents(self, start, end, max)?)
    }

    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        Ok(Image::check(self, start, max)?)
    }
}

impl format::Layout for Layout {
    fn rules(&mut self) -> Rules {
        Layout::rules(self)
    }

    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        Ok(Layout::placed(self, runs)?)
    }

    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        Ok(Layout::metadata(self, end, start, max_bytes)?)
    }
}
