//! Events for the host's log. In a component they go to the host; in a test they are kept for
//! [`captured`].

use std::fmt;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For debugging.
    Debug,
    /// Worth keeping.
    Info,
    /// Something is unexpected.
    Warn,
    /// Something failed.
    Error,
}

/// Writes an event with fields. The host limits the rate; what is over it is counted, not kept.
pub fn event(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &str)]) {
    backend::write(level, message, fields);
}

/// Writes at trace level: `trace!("read {} tables", n)`.
#[macro_export]
macro_rules! trace { ($($arg:tt)*) => { $crate::log::event($crate::log::Level::Trace, format_args!($($arg)*), &[]) } }
/// Writes at debug level.
#[macro_export]
macro_rules! debug { ($($arg:tt)*) => { $crate::log::event($crate::log::Level::Debug, format_args!($($arg)*), &[]) } }
/// Writes at info level.
#[macro_export]
macro_rules! info { ($($arg:tt)*) => { $crate::log::event($crate::log::Level::Info, format_args!($($arg)*), &[]) } }
/// Writes at warn level.
#[macro_export]
macro_rules! warn { ($($arg:tt)*) => { $crate::log::event($crate::log::Level::Warn, format_args!($($arg)*), &[]) } }
/// Writes at error level.
#[macro_export]
macro_rules! error { ($($arg:tt)*) => { $crate::log::event($crate::log::Level::Error, format_args!($($arg)*), &[]) } }

#[cfg(target_arch = "wasm32")]
mod backend {
    use super::{Level, fmt};
    use crate::bindings::host::imprint::host::log;

    pub(super) fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &str)]) {
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        if !log::enabled(level) {
            return;
        }
        let fields: Vec<(String, String)> =
            fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        log::write(level, &message.to_string(), &fields);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod backend {
    use std::cell::RefCell;

    use super::{Level, fmt};

    /// Events that a test keeps at most: a loop must not eat the machine.
    const MAX_KEPT: usize = 10_000;

    thread_local! {
        static EVENTS: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &str)]) {
        let mut text = message.to_string();
        for (key, value) in fields {
            text.push_str(&format!(" {key}={value}"));
        }
        EVENTS.with_borrow_mut(|events| {
            if events.len() < MAX_KEPT {
                events.push((level, text));
            }
        });
    }

    /// Takes the events that this thread wrote so far.
    pub fn captured() -> Vec<(Level, String)> {
        EVENTS.take()
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use backend::captured;
