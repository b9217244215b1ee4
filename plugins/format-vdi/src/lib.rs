//! The VDI format of VirtualBox: reads and checks dynamic and fixed images, and lays out dynamic
//! ones.
//!
//! Little endian. A header, a map with one 32-bit entry for each block of the disk, and blocks. The
//! map is looked at as it is needed, a bounded part of it in each call: that of the largest disk
//! has 256 MiB.
//!
//! Not here: whether two blocks of the whole map share bytes (the host sees all pages; an instance
//! of this plugin sees one).
//!
//! Source: the layout as QEMU (`block/vdi.c`) and VirtualBox (`VDICore.h`) write it; there is no
//! specification.

mod check;
pub mod header;
pub mod image;
pub mod layout;
mod map;
mod used;

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Guess},
    host::Blob,
    types::Props,
};

use crate::{image::Image, layout::Layout};

/// The VDI format.
pub struct Vdi;

impl Format for Vdi {
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

imprint_plugin_sdk::export_format!(Vdi);
