//! What can be wrong with an OVA.

use imprint_plugin_sdk::error::{Error, ErrorClass};

/// Failure of finding the disk in an OVA. The text says what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OvaError {
    /// A tar header, the description or the manifest contradicts itself or its specification.
    #[error("{0}; the file is damaged or forged: export the appliance again")]
    Header(String),
    /// A tar header's checksum is wrong.
    #[error("{0}; the file is damaged: transfer it again")]
    Checksum(String),
    /// The file ends before what it names.
    #[error("{0}; the file is incomplete: transfer it again")]
    Truncated(String),
    /// Something that no OVA needs and that attacks are made of.
    #[error("{0}; pack the .ovf and its disks again as plain files with plain names")]
    Member(String),
    /// Declarations or entities in the description.
    #[error("{0}; remove the document type and its entities from the .ovf")]
    Entities(String),
    /// The description refers to something outside.
    #[error("{0}; pack all files that the .ovf names into the .ova")]
    ExternalReference(String),
    /// Something that OVF knows and this reader does not.
    #[error("{0}")]
    Feature(String),
    /// More than is accepted.
    #[error("{0}")]
    Limit(String),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Request(String),
    /// The host could not do its part.
    #[error("{0}")]
    Host(#[from] Error),
}

impl OvaError {
    /// The dotted code for programs; its first word names the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Header(_) => "corrupt.header",
            Self::Checksum(_) => "corrupt.checksum",
            Self::Truncated(_) => "corrupt.truncated",
            Self::Member(_) => "denied.member",
            Self::Entities(_) => "denied.entities",
            Self::ExternalReference(_) => "denied.external-reference",
            Self::Feature(_) => "unsupported.feature",
            Self::Limit(_) => "limit.table-size",
            Self::Request(_) => "invalid.option",
            Self::Host(error) => &error.code,
        }
    }
}

impl From<OvaError> for Error {
    fn from(error: OvaError) -> Self {
        let class = match &error {
            OvaError::Header(_) | OvaError::Checksum(_) | OvaError::Truncated(_) => ErrorClass::Corrupt,
            OvaError::Member(_) | OvaError::Entities(_) | OvaError::ExternalReference(_) => {
                ErrorClass::Denied
            }
            OvaError::Feature(_) => ErrorClass::Unsupported,
            OvaError::Limit(_) => ErrorClass::LimitExceeded,
            OvaError::Request(_) => ErrorClass::InvalidInput,
            OvaError::Host(inner) => return inner.clone(),
        };
        Self::new(class, error.code(), error.to_string())
    }
}
