//! Imports: the names of their secrets, and the digest of a file.

use serde::{Deserialize, Serialize};

/// The names of the secrets of an import from a server.
pub mod secret_name {
    /// The address.
    pub const URL: &str = "url";
    /// The start of the names of head fields.
    pub const HEADER: &str = "header.";
}

/// The algorithm of a file's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestAlgorithm {
    /// MD5 (RFC 1321), for files that are published with no better one.
    Md5,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl DigestAlgorithm {
    /// Returns the spelling in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the number of bytes of a digest.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The digest of a file: the bytes as they are sent, also of a compressed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileDigest {
    /// The algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest in lower-case hexadecimal digits.
    pub hex: String,
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a digest as `sha256:`, `sha512:` or `md5:` and its hexadecimal digits")]
pub struct InvalidFileDigest;

impl TryFrom<String> for FileDigest {
    type Error = InvalidFileDigest;

    fn try_from(text: String) -> Result<Self, InvalidFileDigest> {
        text.parse()
    }
}

impl std::str::FromStr for FileDigest {
    type Err = InvalidFileDigest;

    fn from_str(text: &str) -> Result<Self, InvalidFileDigest> {
        let (name, digits) = text.trim().split_once(':').ok_or(InvalidFileDigest)?;
        let name = name.to_ascii_lowercase().replace('-', "");
        let algorithms = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512];
        let found = algorithms.into_iter().find(|algorithm| algorithm.as_str() == name);
        let algorithm = found.ok_or(InvalidFileDigest)?;
        let hex = digits.to_ascii_lowercase();
        let valid = hex.len() == algorithm.bytes() * 2 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { Ok(Self { algorithm, hex }) } else { Err(InvalidFileDigest) }
    }
}

impl std::fmt::Display for FileDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl From<FileDigest> for String {
    fn from(digest: FileDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_its_algorithm() {
        let of = |text: &str| text.parse::<FileDigest>().map(|digest| digest.to_string());
        let sha256 = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(of(&sha256), Ok(sha256.clone()));
        assert_eq!(of(&format!("SHA-256:{}", "0A".repeat(32))), Ok(sha256.clone()));
        assert_eq!(of(&format!("md5:{}", "00".repeat(16))), Ok(format!("md5:{}", "00".repeat(16))));
        assert!(of(&format!("sha512:{}", "00".repeat(64))).is_ok());
        for wrong in
            ["", "sha256", "sha256:", "crc32:00000000", &sha256[..70], &format!("sha256:{}", "0g".repeat(32))]
        {
            assert_eq!(of(wrong), Err(InvalidFileDigest), "{wrong}");
        }
    }
}
