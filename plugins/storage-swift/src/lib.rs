//! Images in a container of OpenStack Swift, which the seeds of this project call Cloud Files.
//!
//! An image is a static large object: its segments are in a container of their own, and the host
//! sends them as the parts of an upload; the manifest makes it visible in one step. Large objects
//! that others made, static and dynamic ones, are read as one file. This plugin signs in by the
//! host, describes requests, lists, deletes and completes.
//!
//! Not here: the bytes, the password and the token, which are the host's.

mod account;
mod catalogue;
mod container;
mod delete;
mod failure;
mod leftovers;
mod listing;
mod manifest;
mod segments;
mod settings;
mod signin;
mod upload;
mod volume;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub use upload::SwiftUpload;
pub use volume::SwiftVolume;

imprint_plugin_sdk::export_storage!(SwiftVolume);
