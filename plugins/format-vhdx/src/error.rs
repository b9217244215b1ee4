//! What can be wrong with an image, a request or the bytes behind it.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of reading, checking or laying out a VHDX file. The text says what is wrong and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VhdxError {
    /// The headers contradict themselves, each other or the specification.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Header(String),
    /// A structure does not have the checksum that it names.
    #[error("{0}; the file is damaged: get a fresh copy of the image")]
    Checksum(String),
    /// A table is misplaced or holds what no table may hold.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Table(String),
    /// The file was not closed, and its log cannot be played back.
    #[error(
        "{0}; the log cannot be played back: copy the file again while the virtual machine is off, or run `Repair-VHD` on the original"
    )]
    Log(String),
    /// The file ends before what its tables name.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Two things claim the same bytes of the file.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Aliased(String),
    /// Not a version that exists today.
    #[error("{0}; convert the image with `Convert-VHD` or `qemu-img convert`")]
    Version(String),
    /// A feature that this reader does not know and must know.
    #[error("{0}; convert the image with `Convert-VHD`")]
    Feature(String),
    /// The log changes payload, which this reader does not lay over what it describes.
    #[error(
        "{0}; open and close the original once in Hyper-V, or with `qemu-img check -r all`, so that the log is played back"
    )]
    LogPayload(String),
    /// The disk is larger than the format may describe.
    #[error("{0}")]
    VirtualSize(String),
    /// A table is larger than what this reader accepts.
    #[error("{0}")]
    TableSize(String),
    /// The log is larger, or more work, than what this reader accepts.
    #[error("{0}; open and close the original once in Hyper-V, so that the log is played back")]
    LogSize(String),
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

impl VhdxError {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Checksum(_) => "corrupt.checksum",
            Self::Table(_) => "corrupt.table",
            Self::Log(_) => "corrupt.log",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::Version(_) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::LogPayload(_) => "unsupported.log",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::LogSize(_) => "limit.log",
            Self::Request(_) => "invalid.request",
            Self::Unsupported(_) => "unsupported.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<VhdxError> for Error {
    fn from(error: VhdxError) -> Self {
        let class = match &error {
            VhdxError::Header(_)
            | VhdxError::Checksum(_)
            | VhdxError::Table(_)
            | VhdxError::Log(_)
            | VhdxError::Truncated(_)
            | VhdxError::Aliased(_) => ErrorClass::Corrupt,
            VhdxError::Version(_)
            | VhdxError::Feature(_)
            | VhdxError::LogPayload(_)
            | VhdxError::Unsupported(_) => ErrorClass::Unsupported,
            VhdxError::VirtualSize(_) | VhdxError::TableSize(_) | VhdxError::LogSize(_) => {
                ErrorClass::LimitExceeded
            }
            VhdxError::Request(_) => ErrorClass::InvalidInput,
            VhdxError::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
