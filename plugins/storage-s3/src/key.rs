//! Which keys a bucket takes.

use imprint_plugin_sdk::{
    error::{Error, Result},
    http::objects::{MAX_KEY, is_key},
};

/// The longest key of S3, in bytes.
const MAX_OBJECT_KEY: usize = 1024;

/// Checks a key that is about to be used.
pub(crate) fn check_key(key: &str, prefix: &str) -> Result<()> {
    if is_key(key) && prefix.len() + key.len() <= MAX_OBJECT_KEY {
        return Ok(());
    }
    let message = format!(
        "the key {key:?} cannot be stored: use 1 to {MAX_KEY} bytes, and no empty, `.` or `..` parts"
    );
    Err(Error::invalid_input("s3.key", message))
}
