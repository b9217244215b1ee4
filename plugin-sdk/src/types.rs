//! Shapes that every kind of plugin shares.

pub use crate::props::{Props, props};

/// A half-open byte range `[offset, offset + length)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// A digest of stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// `sha256`, `blake3`, ...
    pub algorithm: String,
    /// The raw digest.
    pub value: Vec<u8>,
}

/// An encoding of stored bytes: `deflate` (RFC 1951), `zlib` (RFC 1950), `gzip` (RFC 1952) or
/// `zstd` (RFC 8878).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Name as above.
    pub name: String,
    /// `tail` = `exact` (default) or `garbage`: whether an extent's `source_length` is exact or an
    /// upper bound.
    pub params: Props,
}

/// A path below a granted directory: relative, `/`-separated, without `.` or `..` parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Id of the grant in the manifest.
    pub grant: String,
    /// The path.
    pub path: String,
}

/// An NBD export on a reserved endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdRef {
    /// Id that `reserve_endpoint` gave.
    pub endpoint: String,
    /// Name of the export.
    pub export_name: String,
    /// `base:allocation`, ...
    pub meta_contexts: Vec<String>,
    /// Connections that the server takes at once.
    pub max_connections: u16,
}

/// Where bytes are: wherever possible, where the host finds them without the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadLocator {
    /// A local file.
    File(FileRef),
    /// An NBD export.
    Nbd(NbdRef),
    /// An HTTP object.
    Http(Box<crate::http::HttpSource>),
    /// Nowhere that the host could reach: it asks the plugin for them
    /// ([`crate::storage::StreamStorage`]).
    GuestStream,
}
