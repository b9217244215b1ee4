//! The VHDX format of Hyper-V: reads and checks dynamic, fixed and differencing images, and lays
//! out dynamic ones.
//!
//! Little endian. Two headers, two copies of a table of regions, a log, a region with metadata
//! items, and a block allocation table (BAT). A file whose log was not played back is read as if it
//! had been: what the log holds replaces what is read, and the file stays as it is.
//!
//! The BAT is looked at as a map or a check needs it, a bounded part of it in each call: that of
//! the largest disk has 512 MiB. A parent is text; nothing here opens it.
//!
//! Not here: whether two blocks of the whole map share bytes (the host sees all pages; an instance
//! of this plugin sees one).
//!
//! Source: \[MS-VHDX\], version 20180912 and later. Sections are named where they matter.

mod bat;
mod check;
mod crc;
mod guid;
pub mod header;
pub mod image;
pub mod layout;
mod locator;
mod log;
mod map;
mod metadata;
mod overlay;
mod ranges;
mod region;
mod tables;
mod used;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess},
    host::Blob,
    types::Props,
};

use crate::{image::Image, layout::Layout};

/// The VHDX format.
pub struct Vhdx;

impl Format for Vhdx {
    type Image = Image;
    type Layout = Layout;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        header::probe(head)
    }

    fn open(primary: Box<dyn Blob>, _options: &Props) -> Result<Image> {
        Ok(Image::open(primary)?)
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Ok(Layout::begin(request)?)
    }
}

imprint_plugin_sdk::export_format!(Vhdx);
