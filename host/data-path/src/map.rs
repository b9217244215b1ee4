//! How a virtual disk maps to stored bytes, in memory or in scratch files.

pub(crate) mod extent_map;
pub mod scratch;
