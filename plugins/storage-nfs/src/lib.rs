//! Images on an NFS export, reached in one of two ways.
//!
//! *Mounted*: the host moves the bytes, as for a local folder; the plugin makes sure that the
//! folder is a mount of that export. *Directly*: nothing is mounted, and the plugin speaks NFS
//! version 3 (RFC 1813) over connections that the host grants; the bytes go through it, because
//! only it knows the protocol.

mod client;
mod directory;
mod failure;
mod files;
mod listed;
mod marker;
mod mounted;
mod procedure;
mod reader;
mod rpc;
mod settings;
mod tree;
mod upload;
mod volume;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::NfsReader;
pub use upload::NfsUpload;
pub use volume::NfsVolume;
pub use writer::NfsWriter;

imprint_plugin_sdk::export_streaming_storage!(NfsVolume);
