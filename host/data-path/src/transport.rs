//! Where bytes come from and go to: files and devices, NBD, streams.

pub(crate) mod append;
pub(crate) mod file;
pub(crate) mod hashing;
pub mod nbd;
pub(crate) mod window;
