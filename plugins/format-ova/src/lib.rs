//! The OVA format: a tar file with an OVF description and the disks that it describes. The plugin
//! finds the one disk; the host opens the disk's own format (the fact `contains`) over the bytes of
//! its member.
//!
//! Nothing is unpacked and no name is ever a path: a member's name is compared with what the
//! description says, and that is all. What an OVA has no need for (links, devices, folders, sparse
//! members, records that override name or size, entities in the description) is refused.
//!
//! Sources of the facts: DMTF DSP0243 (OVF 1.1 and 2), POSIX.1-2017 `pax` (the ustar header and
//! extended records).
//!
//! Not here: the disk's own format, and the digests of the manifest over a whole disk (they are
//! facts for the host).

pub mod error;
pub mod image;
mod manifest;
mod ovf;
mod plugin;
pub mod probe;
mod tar;
mod xml;

pub use plugin::Ova;

imprint_plugin_sdk::export_format!(Ova);
