//! Secrets at rest: the keys of the server, and what is sealed with them.
//!
//! A secret is sealed with XChaCha20-Poly1305 under the first key of the key file. The associated
//! data are the id of its owner and its name, so that a row that is copied to another place cannot
//! be opened there. The clear text is in memory only while a request sets it or an agent fetches
//! it, and is overwritten afterwards.

pub(crate) mod keys;
pub(crate) mod rotation;
pub(crate) mod seal;
