//! The error of a change of state that the life cycle does not allow.

use crate::error::{Code, Error};

/// A change of state that the life cycle of a thing does not allow. The thing is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{article} {noun} that is {from} cannot become {to}", article = if self.noun.starts_with(['e', 'i']) { "an" } else { "a" })]
pub struct IllegalTransition {
    /// The kind of thing: `export`, `image`, `instance`, `share` or `task`.
    pub noun: &'static str,
    /// The spelling of its current state.
    pub from: &'static str,
    /// The spelling of the requested state.
    pub to: &'static str,
}

impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::new(Code::InvalidTransition, error)
    }
}
