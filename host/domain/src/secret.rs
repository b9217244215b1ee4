//! Secrets: texts that leave the memory of a process only where the code says so.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// The longest secret, in bytes: room for a private key.
pub const MAX_SECRET: usize = 8 << 10;

/// A secret: a key, a password, a token.
///
/// It cannot be printed, and it is serialised only where a field says so ([`exposed`]). Its memory
/// is overwritten when it is dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

/// Secrets by the names of their settings.
pub type Secrets = BTreeMap<String, SecretText>;

impl SecretText {
    /// Wraps the text of a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text of the secret, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// Accepts a text, and refuses everything else without repeating the value: serde's own messages
/// would.
struct Text;

/// The message for a value that is no text.
const NO_TEXT: &str = "a secret must be a string";

impl<'de> de::Visitor<'de> for Text {
    type Value = SecretText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretText, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<SecretText, E> {
        Ok(SecretText::new(text))
    }

    fn visit_bool<E: de::Error>(self, _value: bool) -> Result<SecretText, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_i64<E: de::Error>(self, _value: i64) -> Result<SecretText, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_u64<E: de::Error>(self, _value: u64) -> Result<SecretText, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<SecretText, E> {
        Err(E::custom(NO_TEXT))
    }
}

/// Writes secrets as their texts: `#[serde(with = "imprint_domain::secret::exposed")]`. For the
/// connection to an agent and for clients that send a request, and nothing else.
pub mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Secrets;

    /// Writes the texts of secrets.
    ///
    /// # Errors
    ///
    /// An error of the serialiser.
    pub fn serialize<S: Serializer>(secrets: &Secrets, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose())))
    }

    /// Reads secrets.
    ///
    /// # Errors
    ///
    /// A value is not a string.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secrets, D::Error> {
        Secrets::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_neither_printed_nor_repeated_in_an_error() {
        let secret: SecretText = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("hunter2", "(secret)"));
        for wrong in ["734211", "-734211", "7342.11", "true"] {
            let error = serde_json::from_str::<SecretText>(wrong).unwrap_err().to_string();
            assert!(error.starts_with(NO_TEXT) && !error.contains(wrong), "{error}");
        }
        assert!(serde_json::from_str::<SecretText>("[\"hunter2\"]").is_err());
    }
}
