//! How consistent a captured disk is (X11).

use serde::{Deserialize, Serialize};

/// Levels, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// As after a power cut: journals must be replayed.
    Crash,
    /// File systems were frozen by the guest agent.
    Filesystem,
    /// Frozen, and the guest's own freeze hooks ran.
    Application,
    /// The guest was off.
    Stopped,
}

impl Consistency {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Filesystem => "filesystem",
            Self::Application => "application",
            Self::Stopped => "stopped",
        }
    }

    /// The level of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Crash, Self::Filesystem, Self::Application, Self::Stopped]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}
