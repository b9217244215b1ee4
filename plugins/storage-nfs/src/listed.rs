//! A folder as it was read.

use nfs3_types::nfs3::{fattr3, nfs_fh3};

/// The names of a folder, with their attributes where the server answered them.
pub(crate) type Names = Vec<(String, Option<fattr3>)>;

/// A folder as it was read.
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) handle: nfs_fh3,
    /// In ascending order.
    pub(crate) names: Names,
}
