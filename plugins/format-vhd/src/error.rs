//! What can be wrong with an image, a request or the bytes behind it.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of reading, checking or laying out a VHD file. The text says what is wrong and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VhdError {
    /// Footer or header contradict themselves or the specification.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Header(String),
    /// A checksum is wrong.
    #[error(
        "the checksum of the {0} is wrong; the file is damaged: get a fresh copy, or open it with the option `salvage`"
    )]
    Checksum(&'static str),
    /// The block allocation table holds what no such table may hold.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Table(String),
    /// The file ends before what its tables name.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Two things claim the same bytes of the file.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Aliased(String),
    /// The two sizes that a footer states are so far apart that readers would disagree about the
    /// disk.
    #[error(
        "the footer states a disk of {current} bytes, and a geometry of {geometry} bytes, and programs differ in which they believe; open it with the size `current` or `geometry` (`--vhd-size`), whichever the program that made it used"
    )]
    SizeConflict {
        /// The size field, in bytes.
        current: u64,
        /// Cylinders x heads x sectors, in bytes.
        geometry: u64,
    },
    /// Not a version that VHD has.
    #[error("version {0:#010x} of the {1} is not supported; only 1.0 was ever published")]
    Version(u32, &'static str),
    /// A kind of disk, or a block size, that this reader does not know.
    #[error("{0}; convert the image with the program that made it to a dynamic VHD with blocks of 2 MiB")]
    Feature(String),
    /// The disk is larger than the format can describe.
    #[error("{0}")]
    VirtualSize(String),
    /// A table is larger than any disk needs.
    #[error("{0}")]
    TableSize(String),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Request(String),
    /// The caller asked for what this writer does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The host could not do its part.
    #[error("{0}")]
    Host(#[from] Error),
}

impl VhdError {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Checksum(_) => "corrupt.checksum",
            Self::Table(_) => "corrupt.table",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::SizeConflict { .. } => "corrupt.size-conflict",
            Self::Version(..) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::Request(_) => "invalid.request",
            Self::Unsupported(_) => "unsupported.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<VhdError> for Error {
    fn from(error: VhdError) -> Self {
        let class = match &error {
            VhdError::Header(_)
            | VhdError::Checksum(_)
            | VhdError::Table(_)
            | VhdError::Truncated(_)
            | VhdError::Aliased(_)
            | VhdError::SizeConflict { .. } => ErrorClass::Corrupt,
            VhdError::Version(..) | VhdError::Feature(_) | VhdError::Unsupported(_) => {
                ErrorClass::Unsupported
            }
            VhdError::VirtualSize(_) | VhdError::TableSize(_) => ErrorClass::LimitExceeded,
            VhdError::Request(_) => ErrorClass::InvalidInput,
            VhdError::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
