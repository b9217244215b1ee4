//! The VDI format of VirtualBox: reads and checks dynamic and fixed images, and lays out dynamic
//! ones.
//!
//! Little endian. A header, a map with one 32-bit entry for each block of the disk, and blocks. The
//! whole map is looked at once when an image is opened, in pieces and with a bit for each block: no
//! two entries may share a block.
//!
//! Source: the layout as QEMU (`block/vdi.c`) and VirtualBox (`VDICore.h`) write it; there is no
//! specification.

mod check;
pub mod error;
pub mod header;
pub mod image;
pub mod layout;
mod map;
mod plugin;
mod wire;

pub use plugin::Vdi;

imprint_plugin_sdk::export_format!(Vdi);
