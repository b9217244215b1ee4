//! What can be wrong with a map.

use imprint_ports::ErrorClass;

use crate::map::scratch::ScratchError;

/// Why a map is refused. The messages speak of offsets in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The page is not ascending, has a gap, or leaves the range that was asked for.
    #[error(
        "the format plugin's map is out of order at disk offset {offset}; report this to the plugin's author"
    )]
    Order {
        /// Virtual offset where it breaks.
        offset: u64,
    },
    /// The page does not get on, or is longer than asked for.
    #[error(
        "the format plugin's map makes no progress at disk offset {offset}; report this to the plugin's author"
    )]
    Stuck {
        /// Virtual offset where it stands.
        offset: u64,
    },
    /// The page names a source or a codec that the image does not list.
    #[error(
        "the format plugin's map names an unknown {what} at disk offset {offset}; report this to the plugin's author"
    )]
    UnknownIndex {
        /// `source` or `codec`.
        what: &'static str,
        /// Virtual offset of the extent.
        offset: u64,
    },
    /// Encoded extents that no format has.
    #[error(
        "a compressed unit at disk offset {offset} has an impossible length; the image is damaged or hostile"
    )]
    EncodedLength {
        /// Virtual offset of the extent.
        offset: u64,
    },
    /// The map points behind the end of the file.
    #[error(
        "the image is cut off: disk offset {offset} is stored at {stored}, behind the end of the file at {size}; fetch it again"
    )]
    Truncated {
        /// Virtual offset, or 0 for tables.
        offset: u64,
        /// End of the stored range.
        stored: u64,
        /// Size of the file.
        size: u64,
    },
    /// Two extents, or an extent and a table, share stored bytes.
    #[error("the image uses the bytes at file offset {stored} more than once; it is damaged or hostile")]
    Aliased {
        /// File offset of the shared bytes.
        stored: u64,
    },
    /// The disk is larger than allowed.
    #[error(
        "the disk has {size} bytes, more than the limit of {limit}; raise the limit or use a smaller disk"
    )]
    VirtualSize {
        /// Of the disk.
        size: u64,
        /// Allowed.
        limit: u64,
    },
    /// The map has more pieces than allowed.
    #[error(
        "the image's map has more than {limit} pieces; rewrite the image with larger clusters or raise the limit"
    )]
    Extents {
        /// Allowed.
        limit: u64,
    },
    /// The compressed data expands more than allowed.
    #[error("the image expands more than {limit} times; it is hostile, or the limit must be raised for it")]
    Expansion {
        /// Allowed.
        limit: u64,
    },
    /// The map is too large for memory, and what is not in memory is of no use.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

impl MapError {
    /// Dotted code for programs.
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

    /// What the caller may do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Order { .. } | Self::Stuck { .. } | Self::UnknownIndex { .. } => ErrorClass::Internal,
            Self::EncodedLength { .. } | Self::Truncated { .. } | Self::Aliased { .. } => ErrorClass::Corrupt,
            Self::VirtualSize { .. } | Self::Extents { .. } | Self::Expansion { .. } => {
                ErrorClass::LimitExceeded
            }
            // Of this machine, not of the image.
            Self::Scratch(_) => ErrorClass::Transient,
        }
    }
}
