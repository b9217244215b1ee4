//! Images in a bucket: the API of Amazon S3 (version 2006-03-01) and of services that follow it.
//!
//! Uploads are multipart uploads, which the host sends part by part; reads are ranges, which the
//! host requests by itself. This plugin describes both, and lists, deletes and completes. It relies
//! on no conditional write: some services accept the headers and ignore them.
//!
//! Not here: the bytes, the secrets and the signatures, which are the host's.

mod bucket;
mod failure;
mod key;
mod leftovers;
mod settings;
mod upload;
mod volume;
mod xml;

#[cfg(test)]
mod tests;

pub use upload::S3Upload;
pub use volume::S3Volume;

imprint_plugin_sdk::export_storage!(S3Volume);
