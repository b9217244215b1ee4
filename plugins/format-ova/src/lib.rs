//! The OVA format: a tar file with an OVF description and the disks that it describes. The plugin
//! finds the one disk; the host opens the disk's own format (the fact `contains`) over the bytes of
//! its member.
//!
//! Nothing is unpacked and no name is ever a path: a member's name is compared with what the
//! description says, and that is all. What an OVA has no need for (links, devices, sparse members,
//! entities in the description) is refused, and so is what two programs would read differently.
//! What is only odd is read, and is a note of the check.
//!
//! Sources of the facts: DMTF DSP0243 (OVF 1.1 and 2), POSIX.1-2017 `pax` (the ustar header and
//! extended records).
//!
//! Not here: the disk's own format, and the digests of the manifest over a whole disk (they are
//! facts for the host).

mod header;
pub mod image;
mod manifest;
mod member;
mod name;
mod ovf;
pub mod probe;
mod records;
mod tar;
mod xml;

use imprint_plugin_sdk::{
    error::Result,
    format::{Format, Guess, ReadOnly},
    host::Blob,
    types::Props,
};

use crate::image::Image;

/// The OVA format.
pub struct Ova;

impl Format for Ova {
    type Image = Image;
    type Layout = ReadOnly;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        probe::probe(head)
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<Image> {
        Ok(Image::open(primary.as_ref(), options)?)
    }
}

imprint_plugin_sdk::export_format!(Ova);
