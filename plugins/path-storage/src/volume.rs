//! The functions of a storage of files, over any [`Tree`].

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    storage::{Features, Listing, Object, no_object},
    types::Props,
};

use crate::{
    key::check_key,
    tree::{Tree, find},
    walk::Walk,
};

/// Largest page of a listing.
const MAX_PAGE: usize = 1_000;

/// Returns what a storage of files can do.
pub fn features() -> Features {
    Features {
        random_read: true,
        random_write: true,
        append: true,
        server_side_copy: false,
        atomic_replace: true,
        max_object: None,
        extra: Props::new(),
    }
}

pub(crate) fn check(tree: &dyn Tree, key: &str) -> Result<()> {
    check_key(key, &format!("{}.key", tree.code()))
}

/// Returns one object.
///
/// # Errors
///
/// `not-found` where there is none with this key.
pub fn stat(tree: &dyn Tree, key: &str) -> Result<Object> {
    check(tree, key)?;
    find(tree, key)?.ok_or_else(|| no_object(tree.code(), key))
}

/// Returns the objects whose keys start with `prefix`, after `resume`, at most `max`, in ascending
/// order.
///
/// # Errors
///
/// What the file system answers.
pub fn list(tree: &dyn Tree, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
    let max = usize::try_from(max).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
    if !folder.is_empty() {
        check(tree, folder.trim_end_matches('/'))?;
    }
    let mut walk = Walk { tree, prefix, after: resume, limit: max + 1, found: Vec::new() };
    match walk.directory(folder) {
        Err(error) if error.class == ErrorClass::NotFound && !folder.is_empty() => {}
        outcome => outcome?,
    }
    let mut objects = walk.found;
    let more = objects.len() > max;
    objects.truncate(max);
    let resume = if more { objects.last().map(|last| last.key.clone()) } else { None };
    Ok(Listing { objects, prefixes: Vec::new(), resume })
}

/// Deletes objects, and returns the keys that could not be deleted.
pub fn delete(tree: &dyn Tree, keys: &[String]) -> Vec<(String, Error)> {
    let delete = |key: &String| check(tree, key).and_then(|()| tree.remove_file(key));
    keys.iter().filter_map(|key| Some((key.clone(), delete(key).err()?))).collect()
}
