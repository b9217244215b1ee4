//! The VMDK format: reads hosted sparse and stream-optimised disks and text descriptors with flat
//! or sparse extents, checks them, and lays out `streamOptimized` and `monolithicSparse`.
//!
//! Everything here is about tables: a map says where payload is, a layout says where it goes, and
//! the host moves it. Nothing that an image says is believed before it was checked against the size
//! of the file: a directory cannot be larger than the file that holds it. A name inside a
//! descriptor (an extent, a parent) is text; nothing here opens it.
//!
//! Source of the facts: VMware, "Virtual Disk Format 5.0" (technical note), and what QEMU and
//! VMware's own tools write.
//!
//! Not here: the payload, the chain of parents, and whether two extents of the whole map share
//! bytes (the host sees all pages; an instance of this plugin sees one).

mod check;
mod descriptor;
pub mod error;
mod header;
pub mod image;
pub mod layout;
mod map;
mod plugin;
pub mod probe;
mod source;
mod sparse;
mod wire;

pub use plugin::Vmdk;

imprint_plugin_sdk::export_format!(Vmdk);
