//! Images in a granted directory: keys are paths below it, uploads become visible by a rename.
//!
//! Not here: the bytes. The host opens, writes, syncs and reads the files that this plugin names.

mod folder;
mod upload;
mod volume;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub use upload::LocalUpload;
pub use volume::LocalVolume;

imprint_plugin_sdk::export_storage!(LocalVolume);
