//! What storages of files in folders have in common: which keys are paths, uploads under temporary
//! names that become visible by a rename, listings in the order of the keys.
//!
//! Not here: how a folder is reached. A [`Tree`] is a granted directory of the host
//! ([`GrantedTree`]), or what a plugin reaches by a protocol of its own.

mod key;
mod tree;
mod upload;
mod volume;
mod walk;

pub use key::{MAX_NAME, check_key, is_name};
pub use tree::{GrantedTree, Tree, find};
pub use upload::{PathUpload, TEMPORARY};
pub use volume::{delete, features, list, stat};
