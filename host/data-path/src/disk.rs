//! Virtual disks: images with their layers, wrappers and references, as one map over their sources.

mod chain;
pub(crate) mod check;
pub(crate) mod declared_digest;
pub(crate) mod detect;
pub(crate) mod granted;
mod layer;
pub(crate) mod logical;
mod open;
pub(crate) mod options;
pub(crate) mod reader;
mod refine;
pub(crate) mod resolve;
mod virtual_disk;
pub(crate) mod wrapped;

pub use virtual_disk::Disk;
