//! The image that is never open.

use imprint_plugin_sdk::{
    error::Result,
    format::{Image, Info, Page},
    types::ByteRange,
};

/// There is none: opening a foreign file is always refused.
#[derive(Clone, Copy, Debug)]
pub enum NoImage {}

impl Image for NoImage {
    fn info(&mut self) -> Result<Info> {
        match *self {}
    }

    fn metadata_ranges(&mut self, _start: u64, _max: u32) -> Result<Vec<ByteRange>> {
        match *self {}
    }

    fn extents(&mut self, _start: u64, _end: u64, _max: u32) -> Result<Page> {
        match *self {}
    }
}
