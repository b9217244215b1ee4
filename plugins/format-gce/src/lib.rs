//! Google Compute Engine's import format: a gzip-compressed tar of the old GNU kind with one sparse
//! member, `disk.raw`.
//!
//! It is written only; an import unpacks such an archive without a plugin. The tar's header lists
//! where the disk has data, which is known when all payload is placed; in the file it stands first.
//! So the layout keeps room for it, fills what is left over with empty deflate blocks, and the
//! whole is a sequence of gzip members (RFC 1952, 2.2: "a gzip file consists of a series of
//! members"): one for the header, one for each unit of the disk, one for the end of the tar.
//! Members are independent, so they are compressed on all cores.
//!
//! Sources: GNU tar manual, "Old GNU Format" and `struct oldgnu_header`; RFC 1951 and 1952; "Import
//! virtual disks" of the Compute Engine documentation for the rules (member named `disk.raw`, size
//! in whole GiB, oldgnu format).

mod gzip;
mod layout;
mod tar;

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{CreateRequest, Format, Guess, Image, Info, Page},
    host::Blob,
    types::{ByteRange, Props},
};

pub use layout::Layout;

/// The import format.
pub struct Gce;

/// An open image: there is none, because the format is written only.
#[derive(Clone, Copy, Debug)]
pub enum Never {}

impl Format for Gce {
    type Image = Never;
    type Layout = Layout;

    /// A gzip stream can hold anything, so no file is recognised as this format.
    fn probe(_head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        None
    }

    fn open(_primary: Box<dyn Blob>, _options: &Props) -> Result<Never> {
        Err(Error::unsupported(
            "unsupported.write-only",
            "this format is written only; unpack the archive with `tar -xzf` and use its disk.raw",
        ))
    }

    fn begin_layout(request: &CreateRequest) -> Result<Layout> {
        Layout::begin(request)
    }
}

impl Image for Never {
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

imprint_plugin_sdk::export_format!(Gce);
