//! The VHD format of Virtual PC, Hyper-V, XenServer and Azure: reads fixed, dynamic and
//! differencing disks, checks them, and lays out fixed and dynamic ones.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006). Where the
//! programs of the field differ from it, the place in the code says so.
//!
//! Everything here is about tables: a map says where payload is, a layout says where it goes, and
//! the host moves it. Nothing that an image states is believed before it was checked against the
//! size of the file. The name of a parent is text; nothing here opens it.
//!
//! Not here: the payload, the chain of parents, and whether two blocks of the whole map share bytes
//! (the host sees all pages; an instance of this plugin sees one).

mod bat;
mod bitmap;
mod blocks;
mod check;
pub mod footer;
pub mod geometry;
pub mod header;
pub mod image;
pub mod layout;
mod locate;
mod map;
mod parent;
pub mod probe;
mod ranges;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess},
    host::Blob,
    types::Props,
};

use crate::{image::Image, layout::Layout};

/// The VHD format.
pub struct Vhd;

impl Format for Vhd {
    type Image = Image;
    type Layout = Layout;

    fn probe(head: &[u8], tail: &[u8], _size: u64) -> Option<Guess> {
        probe::probe(head, tail)
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<Image> {
        Ok(Image::open(primary, options)?)
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Ok(Layout::begin(request)?)
    }
}

imprint_plugin_sdk::export_format!(Vhd);
