//! What can be wrong with an image, a request or the bytes behind it.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of reading, checking or laying out a VMDK file. The text says what is wrong and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VmdkError {
    /// Header, footer or descriptor contradict themselves, each other or the specification.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Header(String),
    /// A table is misplaced or holds what no table may hold.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Table(String),
    /// A compressed grain is framed in a way that cannot be.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Encoded(String),
    /// The file ends before what its tables name.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Two things claim the same bytes of a file.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Aliased(String),
    /// Not a version that this reader knows.
    #[error("VMDK version {0} is not supported; convert the image with the tool that made it")]
    Version(u32),
    /// A feature that this reader does not know.
    #[error("{0}; convert the image with the tool that made it to monolithicSparse or streamOptimized")]
    Feature(String),
    /// A variant of the format that is recognised and not read.
    #[error("{0}")]
    Subformat(String),
    /// The image refers to something that no image may name, or to a file that was not granted.
    #[error("{0}")]
    ExternalReference(String),
    /// The disk is larger than the format may describe.
    #[error("{0}")]
    VirtualSize(String),
    /// A table or a list is larger than what is accepted.
    #[error("{0}")]
    TableSize(String),
    /// The placements of a new file do not fit into the memory of a layout.
    #[error("the layout of this image needs more memory than the limit; write it as `streamOptimized`")]
    LayoutMemory,
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

impl VmdkError {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Table(_) => "corrupt.table",
            Self::Encoded(_) => "corrupt.encoded",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::Version(_) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::Subformat(_) => "unsupported.subformat",
            Self::ExternalReference(_) => "denied.external-reference",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::LayoutMemory => "limit.layout-memory",
            Self::Request(_) => "invalid.request",
            Self::Unsupported(_) => "unsupported.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<VmdkError> for Error {
    fn from(error: VmdkError) -> Self {
        let class = match &error {
            VmdkError::Header(_)
            | VmdkError::Table(_)
            | VmdkError::Encoded(_)
            | VmdkError::Truncated(_)
            | VmdkError::Aliased(_) => ErrorClass::Corrupt,
            VmdkError::Version(_)
            | VmdkError::Feature(_)
            | VmdkError::Subformat(_)
            | VmdkError::Unsupported(_) => ErrorClass::Unsupported,
            VmdkError::ExternalReference(_) => ErrorClass::Denied,
            VmdkError::VirtualSize(_) | VmdkError::TableSize(_) | VmdkError::LayoutMemory => {
                ErrorClass::LimitExceeded
            }
            VmdkError::Request(_) => ErrorClass::InvalidInput,
            VmdkError::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
