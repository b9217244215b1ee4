//! The qcow2 format: reads versions 2 and 3, checks them, and lays out version 3.
//!
//! Everything here is about tables: a map says where payload is, a layout says where it goes, and
//! the host moves it. Nothing that an image states is believed before it was checked against the
//! size of the file: a table cannot be larger than the file that holds it. A name inside the image
//! (a parent, a data file) is text; nothing here opens it.
//!
//! Not here: the payload, the chain of parents, and whether two structures of the whole image share
//! bytes (the host sees all pages; an instance of this plugin sees one).

mod check;
pub mod header;
pub mod image;
mod l1;
mod l2;
pub mod layout;
mod map;
pub mod probe;
mod ranges;
mod slices;
mod snapshot;
pub mod version;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess},
    host::Blob,
    types::Props,
};

use crate::{image::Image, layout::Layout};

/// The qcow2 format.
pub struct Qcow2;

impl Format for Qcow2 {
    type Image = Image;
    type Layout = Layout;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        probe::probe(head)
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<Image> {
        Ok(Image::open(primary, options)?)
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Ok(Layout::begin(request)?)
    }
}

imprint_plugin_sdk::export_format!(Qcow2);
