//! A plain file in the archive, and the refusal of everything else.

use imprint_plugin_sdk::{format::FormatError, types::ByteRange};

/// A plain file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) data: ByteRange,
}

/// Refuses a member of a kind that attacks are made of and that no OVA needs.
pub(crate) fn refused(what: impl Into<String>) -> FormatError {
    let what = what.into();
    FormatError::Member(format!("{what}; pack the .ovf and its disks again as plain files with plain names"))
}
