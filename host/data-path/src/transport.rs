//! Where bytes come from and go to: files and devices, HTTP, NBD, streams.

pub(crate) mod append;
pub(crate) mod file;
pub mod http;
pub mod nbd;
pub(crate) mod window;
