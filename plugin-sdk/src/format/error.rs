//! What can be wrong with an image, a request or the bytes behind it, in the words that all formats
//! share.

use std::fmt;

use crate::error::{Error, ErrorClass};

/// A failure of reading, checking or laying out a file of some format.
///
/// The text of each variant says what is wrong, as a lowercase fragment. Where one piece of advice
/// is right for every format, the variant adds it: `Display` is the whole message. Where the advice
/// depends on the format, it is part of the text, behind a semicolon.
///
/// It becomes an [`Error`] by `?`, with the class and the code of the variant:
///
/// ```
/// use imprint_plugin_sdk::{error::{Error, ErrorClass}, format::FormatError};
///
/// fn check(entry: u64) -> Result<(), FormatError> {
///     Err(FormatError::Table(format!("the entry {entry:#x} has reserved bits set")))
/// }
///
/// let error = Error::from(check(7).unwrap_err());
/// assert_eq!((error.class, error.code.as_str()), (ErrorClass::Corrupt, "corrupt.table"));
/// assert!(error.message.starts_with("the entry 0x7 has reserved bits set; "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Header, footer or descriptor contradict themselves, each other or the specification.
    Header(String),
    /// A structure does not have the checksum that it states.
    Checksum(String),
    /// A table is misplaced or holds what no table may hold.
    Table(String),
    /// A compressed unit is framed in an impossible way.
    Encoded(String),
    /// The file ends before what its tables name.
    Truncated(String),
    /// Two structures claim the same bytes of the file.
    Aliased(String),
    /// The file was not closed, and its log cannot be played back.
    Log(String),
    /// The file states two sizes of the disk, and programs differ in which of them they believe.
    SizeConflict(String),
    /// A version of the format that this reader does not know.
    Version(String),
    /// A feature of the format that this reader does not know.
    Feature(String),
    /// A variant of the format that is recognised and not read.
    Subformat(String),
    /// The payload is encrypted.
    Encrypted(String),
    /// The log changes payload, and this reader plays back changes of tables only.
    LogPayload(String),
    /// The writer does not support what was asked for.
    Unsupported(String),
    /// The image refers to a file that no image may name, or that was not granted.
    ExternalReference(String),
    /// The image is marked as corrupt.
    CorruptFlag(String),
    /// The archive has a member of a kind that is not accepted.
    Member(String),
    /// The document declares entities or a document type.
    Entities(String),
    /// The disk is larger than the format can describe.
    VirtualSize(String),
    /// A table or a list is longer than what is accepted.
    TableSize(String),
    /// The log is longer, or has more changes, than what is accepted.
    LogSize(String),
    /// The placements of a new file do not fit into the memory of a layout.
    LayoutMemory(String),
    /// The request itself is wrong.
    Request(String),
    /// The host, or a helper of this kit, failed.
    Host(Error),
}

const FRESH_COPY: &str = "the file is damaged or forged: get a fresh copy of the image";
const DAMAGED: &str = "the file is damaged: get a fresh copy of the image";
const CHECK_ORIGINAL: &str =
    "the file is damaged or forged: check the original with the program that made it, or get a fresh copy";
const INCOMPLETE: &str = "the file is incomplete: transfer it again";

impl FormatError {
    /// Returns the dotted code for programs, which never changes.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Checksum(_) => "corrupt.checksum",
            Self::Table(_) => "corrupt.table",
            Self::Encoded(_) => "corrupt.encoded",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Aliased(_) => "corrupt.aliased",
            Self::Log(_) => "corrupt.log",
            Self::SizeConflict(_) => "corrupt.size-conflict",
            Self::Version(_) => "unsupported.version",
            Self::Feature(_) => "unsupported.feature",
            Self::Subformat(_) => "unsupported.subformat",
            Self::Encrypted(_) => "unsupported.encrypted",
            Self::LogPayload(_) => "unsupported.log",
            Self::Unsupported(_) => "unsupported.option",
            Self::ExternalReference(_) => "denied.external-reference",
            Self::CorruptFlag(_) => "denied.corrupt-flag",
            Self::Member(_) => "denied.member",
            Self::Entities(_) => "denied.entities",
            Self::VirtualSize(_) => "limit.virtual-size",
            Self::TableSize(_) => "limit.table-size",
            Self::LogSize(_) => "limit.log",
            Self::LayoutMemory(_) => "limit.layout-memory",
            Self::Request(_) => "invalid.request",
            Self::Host(error) => &error.code,
        }
    }

    /// Returns the class, which decides what the host does.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Header(_)
            | Self::Checksum(_)
            | Self::Table(_)
            | Self::Encoded(_)
            | Self::Truncated(_)
            | Self::Aliased(_)
            | Self::Log(_)
            | Self::SizeConflict(_) => ErrorClass::Corrupt,
            Self::Version(_)
            | Self::Feature(_)
            | Self::Subformat(_)
            | Self::Encrypted(_)
            | Self::LogPayload(_)
            | Self::Unsupported(_) => ErrorClass::Unsupported,
            Self::ExternalReference(_) | Self::CorruptFlag(_) | Self::Member(_) | Self::Entities(_) => {
                ErrorClass::Denied
            }
            Self::VirtualSize(_) | Self::TableSize(_) | Self::LogSize(_) | Self::LayoutMemory(_) => {
                ErrorClass::LimitExceeded
            }
            Self::Request(_) => ErrorClass::InvalidInput,
            Self::Host(error) => error.class,
        }
    }

    /// What is wrong, and the advice that the variant adds.
    fn parts(&self) -> (&str, Option<&'static str>) {
        match self {
            Self::Header(text) | Self::Encoded(text) | Self::Aliased(text) => (text, Some(FRESH_COPY)),
            Self::Checksum(text) => (text, Some(DAMAGED)),
            Self::Table(text) => (text, Some(CHECK_ORIGINAL)),
            Self::Truncated(text) => (text, Some(INCOMPLETE)),
            Self::Log(text)
            | Self::SizeConflict(text)
            | Self::Version(text)
            | Self::Feature(text)
            | Self::Subformat(text)
            | Self::Encrypted(text)
            | Self::LogPayload(text)
            | Self::Unsupported(text)
            | Self::ExternalReference(text)
            | Self::CorruptFlag(text)
            | Self::Member(text)
            | Self::Entities(text)
            | Self::VirtualSize(text)
            | Self::TableSize(text)
            | Self::LogSize(text)
            | Self::LayoutMemory(text)
            | Self::Request(text) => (text, None),
            Self::Host(error) => (&error.message, None),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (text, Some(advice)) => write!(f, "{text}; {advice}"),
            (text, None) => f.write_str(text),
        }
    }
}

impl std::error::Error for FormatError {}

impl From<Error> for FormatError {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        if let FormatError::Host(error) = error {
            return error;
        }
        Self::new(error.class(), error.code(), error.to_string())
    }
}
