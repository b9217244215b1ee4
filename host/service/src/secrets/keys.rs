//! The keys that secrets are sealed with.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The most keys of a file.
const MAX_KEYS: usize = 64;
/// The bytes of a key's id, before it is written in hexadecimal digits.
const ID_BYTES: usize = 8;

/// One key.
pub(crate) struct SecretKey {
    /// Identifies the key; nothing about the key follows from it.
    pub(crate) id: String,
    pub(crate) bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys that secrets are sealed with. The first is the current one, which seals; the others
/// open what was sealed before. Printing them shows their ids only.
#[derive(Clone, Default)]
pub struct SecretKeys {
    keys: Arc<[SecretKey]>,
}

/// The text of a key file is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecretKeys {
    /// It has no key.
    #[error("it has no key; write one in 64 hexadecimal digits, as `openssl rand -hex 32` makes")]
    Empty,
    /// It has too many.
    #[error("it has more than {MAX_KEYS} keys; remove those that seal nothing any more")]
    TooMany,
    /// A line is not a key. The text of the line is not repeated.
    #[error("line {0} is not a key: write 64 hexadecimal digits, as `openssl rand -hex 32` makes")]
    Line(usize),
}

impl SecretKeys {
    /// Reads the text of a key file: one key a line, in 64 hexadecimal digits, the current one
    /// first. Empty lines and lines that begin with `#` have no meaning.
    ///
    /// # Errors
    ///
    /// The text has no key, too many, or a line that is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretKeys> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            hex::decode_to_slice(line, bytes.as_mut_slice())
                .map_err(|_| InvalidSecretKeys::Line(index + 1))?;
            keys.push(SecretKey { id: id_of(&bytes), bytes });
        }
        if keys.is_empty() {
            return Err(InvalidSecretKeys::Empty);
        }
        if keys.len() > MAX_KEYS {
            return Err(InvalidSecretKeys::TooMany);
        }
        Ok(Self { keys: keys.into() })
    }

    /// Returns the key that seals; `None` when there is no key at all.
    pub(crate) fn current(&self) -> Option<&SecretKey> {
        self.keys.first()
    }

    /// Returns the key of that id.
    pub(crate) fn get(&self, id: &str) -> Option<&SecretKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Returns every key, the current one first.
    pub(crate) fn all(&self) -> &[SecretKey] {
        &self.keys
    }
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Returns the id of a key: the beginning of a digest that is used for nothing else.
fn id_of(key: &[u8; KEY_BYTES]) -> String {
    let digest = Sha256::new().chain_update(b"imprint: id of a secret key\0").chain_update(key).finalize();
    hex::encode(&digest[..ID_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_has_a_key_a_line() {
        let (first, second) = ("0f".repeat(KEY_BYTES), "A0".repeat(KEY_BYTES));
        let keys = SecretKeys::parse(&format!("# current\n{first}\n\n  {second}\n")).unwrap();
        assert_eq!(*keys.current().unwrap().bytes, [15; KEY_BYTES]);
        let ids: Vec<_> = keys.all().iter().map(|key| key.id.as_str()).collect();
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 16), "{ids:?}");
        assert_eq!(keys.get(ids[1]).unwrap().bytes[0], 0xa0);
        let printed = format!("{keys:?}");
        assert!(!printed.contains("0f0f") && !printed.contains("15, 15"), "{printed}");
        for (text, error) in [
            (String::new(), InvalidSecretKeys::Empty),
            ("# nothing".to_owned(), InvalidSecretKeys::Empty),
            (format!("{first}\n{first}0"), InvalidSecretKeys::Line(2)),
            ("secret key".to_owned(), InvalidSecretKeys::Line(1)),
            (format!("{first}\n").repeat(MAX_KEYS + 1), InvalidSecretKeys::TooMany),
        ] {
            let found = SecretKeys::parse(&text).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains("secret key"));
        }
    }
}
