//! Names of accounts, images, instances and other resources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 128;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("a name needs at least one visible character")]
    Empty,
    /// Longer than [`MAX_NAME_CHARS`].
    #[error("a name has at most {MAX_NAME_CHARS} characters, this one has {0}")]
    TooLong(usize),
    /// A control character, or one that hides or reorders text.
    #[error("a name must not contain control or invisible characters")]
    Control,
}

/// A name: 1 to 128 characters, no control characters, no white space at the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// Parses typed text; surrounding white space is removed.
    ///
    /// # Errors
    ///
    /// [`NameError`] when nothing is left, when it is too long, or when it has control or invisible
    /// characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            return Err(NameError::Empty);
        }
        if chars > MAX_NAME_CHARS {
            return Err(NameError::TooLong(chars));
        }
        if text.chars().any(hides_or_controls) {
            return Err(NameError::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, zero-width characters and bidirectional overrides: with them one entry of a
/// list can look like another.
pub(crate) fn hides_or_controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(
            Name::parse("  production-web-server-v2 ").map(|n| n.to_string()).as_deref(),
            Ok("production-web-server-v2")
        );
        assert_eq!(Name::parse(" \t "), Err(NameError::Empty));
        assert_eq!(Name::parse(&"ä".repeat(128)).map(|n| n.as_str().chars().count()), Ok(128));
        assert_eq!(Name::parse(&"a".repeat(129)), Err(NameError::TooLong(129)));
        assert_eq!(Name::parse("a\nb"), Err(NameError::Control));
        assert_eq!(Name::parse("a\u{202e}b"), Err(NameError::Control));
    }
}
