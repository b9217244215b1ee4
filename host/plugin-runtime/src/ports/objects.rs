//! Objects as plugins describe them, checked.

use imprint_ports::{Object, PortError};

use crate::{
    bindings::storage::exports::imprint::storage::backend, codes::Code, paths::check_relative, text::truncate,
};

/// The longest key, in bytes.
pub(super) const MAX_KEY: usize = 512;

pub(super) fn object(object: backend::Object) -> Result<Object, PortError> {
    check_key(&object.key)?;
    Ok(Object { key: object.key, size: object.size, stored: object.stored, modified_ms: object.modified_ms })
}

fn check_key(key: &str) -> Result<(), PortError> {
    if key.len() > MAX_KEY || check_relative(key).is_err() {
        let message =
            format!("key {:?} is not relative or is longer than {MAX_KEY} bytes", truncate(key, 100));
        return Err(Code::BadKey.error(message));
    }
    Ok(())
}

/// Checks that an object is the requested one.
pub(super) fn same_key(found: Object, key: &str) -> Result<Object, PortError> {
    if found.key != key {
        let message = format!("requested object {key:?}, the storage described {:?}", found.key);
        return Err(Code::BadKey.error(message));
    }
    Ok(found)
}

/// Checks that a committed object is the uploaded one, in full.
pub(super) fn committed_object(found: backend::Object, key: &str, total: u64) -> Result<Object, PortError> {
    let committed = same_key(object(found)?, key)?;
    if committed.size != total {
        let message = format!("{total} bytes were written, the storage has {}", committed.size);
        return Err(Code::BadSize.error(message));
    }
    Ok(committed)
}
