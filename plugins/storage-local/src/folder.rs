//! The granted directory.

use imprint_path_storage::GrantedTree;
use imprint_plugin_sdk::host::StorageHost;

/// The grant's name in the manifest.
pub(crate) const POOL: &str = "pool";
/// The first part of the storage's error codes.
pub(crate) const CODE: &str = "local";

/// Returns the directory as a tree of files.
pub(crate) fn tree(host: &dyn StorageHost) -> GrantedTree<'_, dyn StorageHost + '_> {
    GrantedTree { host, grant: POOL, code: CODE }
}
