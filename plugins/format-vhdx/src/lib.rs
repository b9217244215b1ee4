//! The VHDX format of Hyper-V: reads and checks dynamic, fixed and differencing images, and lays
//! out dynamic ones.
//!
//! Little endian. Two headers, two copies of a table of regions, a log, a region with metadata
//! items, and a block allocation table (BAT). A file whose log was not played back is read as if it
//! had been: what the log holds is laid over everything that is read, and the file stays as it is.
//!
//! The whole BAT is looked at once when an image is opened, in pieces and with a bit for each MiB
//! of the file: no two things may share one. A parent is text; nothing here opens it.
//!
//! Source: \[MS-VHDX\], version 20180912 and later. Sections are named where they matter.

mod bat;
mod check;
mod crc;
pub mod error;
pub mod header;
pub mod image;
pub mod layout;
mod locator;
mod log;
mod map;
mod metadata;
mod overlay;
mod plugin;
mod region;
mod tables;
mod wire;

pub use plugin::Vhdx;

imprint_plugin_sdk::export_format!(Vhdx);
