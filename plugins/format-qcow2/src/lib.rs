//! The qcow2 format: reads versions 2 and 3, checks them, and lays out version 3.
//!
//! Everything here is about tables: a map says where payload is, a layout says where it goes, and
//! the host moves it. Nothing that an image says is believed before it was checked against the size
//! of the file: a table cannot be larger than the file that holds it. A name inside the image (a
//! parent, a data file) is text; nothing here opens it.
//!
//! Not here: the payload, the chain of parents, and whether two extents of the whole map share
//! bytes (the host sees all pages; an instance of this plugin sees one).

mod check;
pub mod error;
pub mod header;
pub mod image;
mod l2;
pub mod layout;
mod map;
mod plugin;
pub mod probe;
mod ranges;
mod slices;
mod snapshot;
mod source;
mod wire;

pub use plugin::Qcow2;

imprint_plugin_sdk::export_format!(Qcow2);
