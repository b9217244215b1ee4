//! Errors on their way into plugins and out of them: the one place where the classes of the
//! contract and those of the ports are mapped.

use imprint_ports::{ErrorClass, Origin, PortError};

use crate::{bindings::host::imprint::types::types as wit, codes::Code, text::truncate};

/// The longest message and the longest code of a plugin's error that are handed on, in bytes.
const MAX_MESSAGE: usize = 2000;
const MAX_CODE: usize = 100;

macro_rules! classes {
    ($($class:ident),* $(,)?) => {
        fn class_to_plugin(class: ErrorClass) -> wit::ErrorClass {
            match class {
                $(ErrorClass::$class => wit::ErrorClass::$class,)*
            }
        }

        fn class_from_plugin(class: wit::ErrorClass) -> ErrorClass {
            match class {
                $(wit::ErrorClass::$class => ErrorClass::$class,)*
            }
        }
    };
}

classes! {
    InvalidInput, Unsupported, NotFound, AlreadyExists, Denied, Conflict, Corrupt, LimitExceeded, Transient,
    Cancelled, Internal,
}

/// Returns an error of the host for a plugin.
pub(crate) fn new(code: Code, message: impl Into<String>) -> wit::Error {
    wit::Error {
        class: class_to_plugin(code.class()),
        code: code.as_str().to_owned(),
        message: message.into(),
        retry_after_ms: None,
    }
}

/// Returns a refusal of what was not granted.
pub(crate) fn denied(message: impl Into<String>) -> wit::Error {
    new(Code::Denied, message)
}

/// Returns another plugin's failure for this one.
pub(crate) fn from_port_error(error: &PortError) -> wit::Error {
    wit::Error {
        class: class_to_plugin(error.class),
        code: error.code.clone(),
        message: error.message.clone(),
        retry_after_ms: error.retry_after_ms,
    }
}

/// Returns a plugin's error for the caller, within bounds. A refusal of the host that the plugin
/// hands on is recognised by its code.
pub(crate) fn into_port_error(error: &wit::Error) -> PortError {
    let class = class_from_plugin(error.class);
    let denied_by_host = class == ErrorClass::Denied && error.code == Code::Denied.as_str();
    PortError {
        origin: if denied_by_host { Origin::Denied } else { Origin::Plugin },
        class,
        code: truncate(&error.code, MAX_CODE).to_owned(),
        message: truncate(&error.message, MAX_MESSAGE).to_owned(),
        retry_after_ms: error.retry_after_ms,
    }
}
