//! What can be wrong with a map.

use imprint_ports::ErrorClass;

use crate::map::scratch::ScratchError;

/// Why a map is refused. Offsets in the messages are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The page is not ascending, has a gap, or leaves the requested range.
    #[error(
        "the format plugin's map is out of order at disk offset {offset}; report this to the plugin's author"
    )]
    Order {
        /// The virtual offset of the first wrong extent.
        offset: u64,
    },
    /// The page makes no progress, or is longer than requested.
    #[error(
        "the format plugin's map makes no progress at disk offset {offset}; report this to the plugin's author"
    )]
    Stuck {
        /// The virtual offset at which the page was requested.
        offset: u64,
    },
    /// The page names a source or a codec that the image does not list.
    #[error(
        "the format plugin's map names an unknown {what} at disk offset {offset}; report this to the plugin's author"
    )]
    UnknownIndex {
        /// What is unknown: `source` or `codec`.
        what: &'static str,
        /// The virtual offset of the extent.
        offset: u64,
    },
    /// An encoded extent has a length that no format produces.
    #[error(
        "a compressed unit at disk offset {offset} has an impossible length; the image is damaged or hostile"
    )]
    EncodedLength {
        /// The virtual offset of the extent.
        offset: u64,
    },
    /// The map points behind the end of the file.
    #[error(
        "the image is cut off: disk offset {offset} is stored at {stored}, behind the end of the file at {size}; fetch it again"
    )]
    Truncated {
        /// The virtual offset, or 0 for tables.
        offset: u64,
        /// The end of the stored range.
        stored: u64,
        /// The size of the file.
        size: u64,
    },
    /// Two extents, or an extent and a table, share stored bytes.
    #[error("the image uses the bytes at file offset {stored} more than once; it is damaged or hostile")]
    Aliased {
        /// The file offset of the shared bytes.
        stored: u64,
    },
    /// The disk is larger than allowed.
    #[error(
        "the disk has {size} bytes, more than the limit of {limit}; raise the limit or use a smaller disk"
    )]
    VirtualSize {
        /// The size of the disk.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The map has more pieces than allowed.
    #[error(
        "the image's map has more than {limit} pieces; rewrite the image with larger clusters or raise the limit"
    )]
    Extents {
        /// The limit.
        limit: u64,
    },
    /// The compressed data expands more than allowed.
    #[error("the image expands more than {limit} times; it is hostile, or the limit must be raised for it")]
    Expansion {
        /// The limit.
        limit: u64,
    },
    /// The map is too large for memory, and the scratch file cannot be used.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

impl MapError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Order { .. } => "plugin.map-order",
            Self::Stuck { .. } => "plugin.map-stuck",
            Self::UnknownIndex { .. } => "plugin.map-index",
            Self::EncodedLength { .. } => "corrupt.encoded-length",
            Self::Truncated { .. } => "corrupt.truncated",
            Self::Aliased { .. } => "corrupt.aliased",
            Self::VirtualSize { .. } => "limit.virtual-size",
            Self::Extents { .. } => "limit.extents",
            Self::Expansion { .. } => "limit.expansion",
            Self::Scratch(error) => error.code(),
        }
    }

    /// Returns the kind of the failure, for deciding what to do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Order { .. } | Self::Stuck { .. } | Self::UnknownIndex { .. } => ErrorClass::Internal,
            Self::EncodedLength { .. } | Self::Truncated { .. } | Self::Aliased { .. } => ErrorClass::Corrupt,
            Self::VirtualSize { .. } | Self::Extents { .. } | Self::Expansion { .. } => {
                ErrorClass::LimitExceeded
            }
            // A failure of this machine, not of the image.
            Self::Scratch(_) => ErrorClass::Transient,
        }
    }
}
