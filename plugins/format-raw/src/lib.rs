//! The raw format: the file is the disk.
//!
//! A disk is made of sectors of 512 bytes. A file of another length is a disk whose size is rounded
//! up: the rest of the last sector reads as zeroes, and the fact `size-conflict` holds the length
//! of the file.
//!
//! Any bytes are a raw disk, so a file that is really something else would be accepted here and
//! misread later, by whoever looks at its first bytes: then a forged header decides what is read.
//! That is why a file that carries the mark of a disk container is refused. What is only payload (a
//! partition table, a file system, an ISO image) is a fact.
//!
//! Not here: finding holes. The host sees them in the file itself.

mod content;
mod image;
mod layout;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess, marks},
    host::Blob,
    types::Props,
};

pub use image::RawImage;
pub use layout::RawLayout;

/// The raw format.
pub struct Raw;

impl Format for Raw {
    type Image = RawImage;
    type Layout = RawLayout;

    /// Everything can be raw, so anything else that recognizes the file is more likely. What
    /// carries the mark of a container is not raw.
    fn probe(head: &[u8], tail: &[u8], _size: u64) -> Option<Guess> {
        let raw = Guess { confidence: 1, format: "raw".to_owned(), subformat: None };
        content::foreign(&marks::find(head, tail)).is_none().then_some(raw)
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<RawImage> {
        RawImage::open(primary.as_ref(), options)
    }

    fn begin_layout(request: &CreateRequest) -> Result<RawLayout> {
        RawLayout::begin(request)
    }
}

imprint_plugin_sdk::export_format!(Raw);

/// Bytes of a sector: what a disk is made of.
const SECTOR: u64 = 512;
