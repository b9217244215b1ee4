//! The VMDK format: reads hosted sparse and stream-optimised disks and text descriptors with flat
//! or sparse extents, checks them, and lays out `streamOptimized` and `monolithicSparse`.
//!
//! Everything here is about tables: a map says where payload is, a layout says where it goes, and
//! the host moves it. Nothing that an image states is believed before it was checked against the
//! size of the file: a directory cannot be larger than the file that holds it. A name inside a
//! descriptor (an extent, a parent) is text; nothing here opens it.
//!
//! Source of the facts: VMware, "Virtual Disk Format 5.0" (technical note), and what QEMU and
//! VMware's own tools write.
//!
//! Not here: the payload, the chain of parents, and whether two extents of the whole map share
//! bytes (the host sees all pages; an instance of this plugin sees one).

mod check;
mod descriptor;
mod footer;
mod header;
pub mod image;
pub mod layout;
mod map;
mod part;
pub mod probe;
mod sector;
mod sparse;
mod tables;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess},
    host::Blob,
    types::Props,
};

use crate::{image::Image, layout::Layout};

/// The VMDK format.
pub struct Vmdk;

impl Format for Vmdk {
    type Image = Image;
    type Layout = Layout;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        probe::probe(head)
    }

    fn open(primary: Box<dyn Blob>, _options: &Props) -> Result<Image> {
        Ok(Image::open(primary)?)
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Ok(Layout::begin(request)?)
    }
}

imprint_plugin_sdk::export_format!(Vmdk);
