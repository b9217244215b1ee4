//! What can be wrong with an image, a request or the bytes behind it.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of reading, checking or laying out a VDI file. The text says what is wrong and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VdiError {
    /// The header contradicts itself.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Header(String),
    /// The map holds what no map may hold.
    #[error("{0}; the file is damaged or forged: run `qemu-img check` on the original, or get a fresh copy")]
    Table(String),
    /// The file ends before what its map names.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Two entries of the map claim the same block.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Aliased(String),
    /// Not a version that is in use today.
    #[error(
        "VDI version {0} is not supported; convert the image to version 1.1 with `VBoxManage clonemedium`"
    )]
    Version(String),
    /// A variant that this reader does not know.
    #[error("{0}; convert the image with `VBoxManage clonemedium --format VDI`")]
    Feature(String),
    /// The image is a layer on top of another file.
    #[error("{0}; merge the chain into one image with `VBoxManage clonemedium`")]
    ExternalReference(String),
    /// The disk is larger than a map may describe.
    #[error("{0}")]
    VirtualSize(String),
    /// The map is larger than what this reader accepts.
    #[error("{0}")]
    TableSize(String),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Request(String),
    /// The caller asked for what this writer does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The host, or a helper of the plugin kit, could not do its part.
    #[error("{0}")]
    Host(#[from] Error),
}

impl VdiError {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Table(_) => "corrupt.table",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::Version(_) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::ExternalReference(_) => "denied.external-reference",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::Request(_) => "invalid.request",
            Self::Unsupported(_) => "unsupported.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<VdiError> for Error {
    fn from(error: VdiError) -> Self {
        let class = match &error {
            VdiError::Header(_) | VdiError::Table(_) | VdiError::Truncated(_) | VdiError::Aliased(_) => {
                ErrorClass::Corrupt
            }
            VdiError::Version(_) | VdiError::Feature(_) | VdiError::Unsupported(_) => ErrorClass::Unsupported,
            VdiError::ExternalReference(_) => ErrorClass::Denied,
            VdiError::VirtualSize(_) | VdiError::TableSize(_) => ErrorClass::LimitExceeded,
            VdiError::Request(_) => ErrorClass::InvalidInput,
            VdiError::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
