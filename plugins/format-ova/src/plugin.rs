//! The plugin: this crate behind the SDK's traits.

use imprint_plugin_sdk::{
    error::Result,
    format::{self, Format, Guess, Info, Page, ReadOnly},
    host::Blob,
    types::{ByteRange, Props},
};

use crate::{image::Image, probe::probe};

/// The OVA format.
pub struct Ova;

impl Format for Ova {
    type Image = Image;
    type Layout = ReadOnly;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        probe(head)
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<Image> {
        Ok(Image::open(primary.as_ref(), options)?)
    }
}

impl format::Image for Image {
    fn info(&mut self) -> Result<Info> {
        Ok(Image::info(self))
    }

    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        Ok(Image::metadata_ranges(self, start, max))
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        Ok(Image::extents(self, start, end, max)?)
    }
}
