//! Guards that fired, for the caller of the plugin.

use std::fmt;

/// A guard that fired.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) channel: String,
    /// The command that armed the guard.
    pub(super) arm: String,
    pub(super) reason: Reason,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, arm, reason } = self;
        write!(f, "the host undid {arm} on channel {channel}, because {reason}")
    }
}

/// The reason why a guard fired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// It was not disarmed within so many milliseconds.
    TimedOut(u64),
    /// The plugin ended its call or trapped.
    Released,
    /// The peer closed the connection.
    Closed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit_ms) => write!(f, "it was not undone within {limit_ms} ms"),
            Self::Released => f.write_str("the plugin ended without undoing it"),
            Self::Closed => f.write_str("the connection was lost"),
        }
    }
}
