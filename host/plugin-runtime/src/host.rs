//! The host's side of `imprint:host`: what a plugin's imports do.

mod blobs;
mod dirs;
mod files;
mod journal;
mod task;

#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub use blobs::BlobHandle;
pub(crate) use blobs::CachedSource;
pub(crate) use dirs::check_relative;
pub(crate) use journal::note_out;

use imprint_ports::{ErrorClass, PortError};

use crate::{
    bindings::host::imprint::types::{block_map, http_types, locators, types},
    state::State,
};

/// Code of every refusal to do what was not granted.
pub(crate) const DENIED: &str = "plugin.denied";

impl types::Host for State {}
impl block_map::Host for State {}
impl locators::Host for State {}
impl http_types::Host for State {}

pub(crate) fn error(class: types::ErrorClass, code: &str, message: impl Into<String>) -> types::Error {
    types::Error { class, code: code.to_owned(), message: message.into(), retry_after_ms: None }
}

/// What another plugin did, on its way to this one.
pub(crate) fn port_error(known: &PortError) -> types::Error {
    let class = match known.class {
        ErrorClass::InvalidInput => types::ErrorClass::InvalidInput,
        ErrorClass::Unsupported => types::ErrorClass::Unsupported,
        ErrorClass::NotFound => types::ErrorClass::NotFound,
        ErrorClass::AlreadyExists => types::ErrorClass::AlreadyExists,
        ErrorClass::Denied => types::ErrorClass::Denied,
        ErrorClass::Conflict => types::ErrorClass::Conflict,
        ErrorClass::Corrupt => types::ErrorClass::Corrupt,
        ErrorClass::LimitExceeded => types::ErrorClass::LimitExceeded,
        ErrorClass::Transient => types::ErrorClass::Transient,
        ErrorClass::Cancelled => types::ErrorClass::Cancelled,
        ErrorClass::Internal => types::ErrorClass::Internal,
    };
    types::Error { retry_after_ms: known.retry_after_ms, ..error(class, &known.code, &known.message) }
}

pub(crate) fn denied(message: impl Into<String>) -> types::Error {
    error(types::ErrorClass::Denied, DENIED, message)
}
