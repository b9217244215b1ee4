//! Digests, as `ALGORITHM:HEX` such as `imprint1:9f86d0...`.

use crate::checked_text::checked_text;

/// The longest name of an algorithm, in bytes.
const MAX_ALGORITHM: usize = 16;
/// The number of hexadecimal digits: 128 to 512 bits.
const HEX_DIGITS: std::ops::RangeInclusive<usize> = 32..=128;

/// The text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is the name of its algorithm, a colon and 32 to 128 lower-case hexadecimal digits")]
pub struct InvalidDigest;

fn check(text: &str) -> Result<(), InvalidDigest> {
    let (algorithm, hex) = text.split_once(':').ok_or(InvalidDigest)?;
    let named = !algorithm.is_empty()
        && algorithm.len() <= MAX_ALGORITHM
        && algorithm.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let digits = HEX_DIGITS.contains(&hex.len())
        && hex.len() % 2 == 0
        && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if named && digits { Ok(()) } else { Err(InvalidDigest) }
}

checked_text! {
    check, InvalidDigest;

    /// The digest of the disk that a guest sees: the same for the same disk in every format (X6).
    LogicalDigest;
    /// The digest of a stored file.
    StoredDigest;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_its_algorithm() {
        let text = format!("imprint1:{}", "0a".repeat(32));
        assert_eq!(text.parse::<LogicalDigest>().map(|digest| digest.to_string()), Ok(text.clone()));
        let json = serde_json::to_value(text.parse::<StoredDigest>().unwrap()).unwrap();
        assert_eq!(json, serde_json::Value::from(text));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            String::new(),
            "0a".repeat(32),
            format!(":{}", "0a".repeat(32)),
            format!("imprint1:{}", "0A".repeat(32)),
            format!("imprint1:{}", "0".repeat(33)),
            format!("imprint1:{}", "0a".repeat(65)),
            format!("a-name-that-is-too-long:{}", "0a".repeat(32)),
        ] {
            assert_eq!(wrong.parse::<LogicalDigest>(), Err(InvalidDigest), "{wrong}");
            assert!(serde_json::from_value::<StoredDigest>(serde_json::Value::from(wrong)).is_err());
        }
    }
}
