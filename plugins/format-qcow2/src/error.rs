//! What can be wrong with an image, a request or the bytes behind it.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of reading, checking or laying out a qcow2 file. The text says what is wrong and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Qcow2Error {
    /// The header contradicts itself or the specification.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Header(String),
    /// A table is misplaced or holds what no table may hold.
    #[error("{0}; the file is damaged or forged: run `qemu-img check` on the original, or get a fresh copy")]
    Table(String),
    /// The file ends before what its tables name.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Two things claim the same bytes of the file.
    #[error("{0}; the file is damaged or forged: get a fresh copy of the image")]
    Aliased(String),
    /// Not a version that qcow2 has today.
    #[error(
        "qcow2 version {0} is not supported; convert the image to version 3 with `qemu-img convert -O qcow2`"
    )]
    Version(u32),
    /// An incompatible feature that this reader does not know.
    #[error("{0}; convert the image with the tool that made it to plain qcow2 version 3")]
    Feature(String),
    /// The payload is encrypted.
    #[error("{0}; decrypt the image with `qemu-img convert` first")]
    Encrypted(String),
    /// The image keeps its payload in another file.
    #[error("{0}; flatten the image into one file with `qemu-img convert -O qcow2`")]
    ExternalReference(String),
    /// The file says of itself that it is damaged.
    #[error(
        "the image carries the corrupt flag; repair it with `qemu-img check -r all`, or open it with the option `salvage`"
    )]
    CorruptFlag,
    /// The disk is larger than the format's tables may describe.
    #[error("{0}")]
    VirtualSize(String),
    /// A table is larger than what readers accept.
    #[error("{0}")]
    TableSize(String),
    /// The placements of a new file do not fit into the memory of a layout.
    #[error(
        "the layout of this image needs more than {limit} bytes of memory; ask for a larger `cluster-size`"
    )]
    LayoutMemory {
        /// The bound, in bytes.
        limit: usize,
    },
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

impl Qcow2Error {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Table(_) => "corrupt.table",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::Version(_) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::Encrypted(_) => "unsupported.encrypted",
            Self::ExternalReference(_) => "denied.external-reference",
            Self::CorruptFlag => "denied.corrupt-flag",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::LayoutMemory { .. } => "limit.layout-memory",
            Self::Request(_) => "invalid.request",
            Self::Unsupported(_) => "unsupported.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<Qcow2Error> for Error {
    fn from(error: Qcow2Error) -> Self {
        let class = match &error {
            Qcow2Error::Header(_)
            | Qcow2Error::Table(_)
            | Qcow2Error::Truncated(_)
            | Qcow2Error::Aliased(_) => ErrorClass::Corrupt,
            Qcow2Error::Version(_)
            | Qcow2Error::Feature(_)
            | Qcow2Error::Encrypted(_)
            | Qcow2Error::Unsupported(_) => ErrorClass::Unsupported,
            Qcow2Error::ExternalReference(_) | Qcow2Error::CorruptFlag => ErrorClass::Denied,
            Qcow2Error::VirtualSize(_) | Qcow2Error::TableSize(_) | Qcow2Error::LayoutMemory { .. } => {
                ErrorClass::LimitExceeded
            }
            Qcow2Error::Request(_) => ErrorClass::InvalidInput,
            Qcow2Error::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
