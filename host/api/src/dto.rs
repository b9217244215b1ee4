//! What goes over the wire: one file a noun, with the names of the domain.
//!
//! Ground rules: requests refuse fields that do not exist; answers hold every member, `null` where
//! there is nothing; sizes are bytes, times are RFC 3339 in UTC, ids are text with a prefix. The
//! CLI reads its answers with the same types.

pub mod account;
mod convert;
pub mod event;
pub mod hypervisor;
pub mod image;
pub mod instance;
pub mod location;
pub mod page;
pub mod patch;
pub mod problem;
pub mod stock_image;
pub mod storage;
pub mod task;

pub(crate) use convert::byte_size;
