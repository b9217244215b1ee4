//! The manifest: digests of members, one a line.
//!
//! Exporters differ in everything but the digits. A line that cannot be understood is a remark; the
//! digest of the disk that is there, and is impossible, is refused.

use imprint_plugin_sdk::format::FormatError;

use crate::name::{clip, decoded};

/// The algorithms, weaker ones first, and the length of their digests in hexadecimal digits.
const ALGORITHMS: [(&str, usize); 3] = [("sha1", 40), ("sha256", 64), ("sha512", 128)];
/// The most remarks about lines.
const MAX_REMARKS: usize = 8;

/// A digest of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// `sha1`, `sha256`, `sha512`.
    pub(crate) algorithm: &'static str,
    /// Lower hexadecimal digits.
    pub(crate) value: String,
}

/// A line: the name in it, its algorithm (`None` for an unknown one), and the rest.
struct Line<'a> {
    name: &'a str,
    algorithm: Option<usize>,
    value: &'a str,
}

/// The digest of the member that `is_disk` recognises, such as in
/// `SHA256(disk1.vmdk)= 0123...`: that of the strongest algorithm. `None` when the manifest does
/// not name it.
pub(crate) fn digest_of(
    text: &[u8],
    is_disk: impl Fn(&str) -> bool,
    remarks: &mut Vec<String>,
) -> Result<Option<Digest>, FormatError> {
    let (text, _) = decoded(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut found: Vec<(usize, String)> = Vec::new();
    let most = remarks.len() + MAX_REMARKS;
    let mut remark = |text: String| {
        if remarks.len() < most {
            remarks.push(text);
        }
    };
    for line in text.lines().map(str::trim) {
        if line.is_empty() || ["#", ";", "//"].iter().any(|comment| line.starts_with(comment)) {
            continue;
        }
        let Some(Line { name, algorithm, value }) = Line::parse(line) else {
            remark(format!("the line {:?} of the manifest (.mf) is not understood", clip(line)));
            continue;
        };
        if !is_disk(name) {
            continue;
        }
        let Some(algorithm) = algorithm else {
            remark(format!("the digest {:?} of the manifest (.mf) is of an unknown kind", clip(line)));
            continue;
        };
        let value = value.to_ascii_lowercase();
        if value.len() != ALGORITHMS[algorithm].1 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong(format!("says {:?} about the disk, which is no digest", clip(line))));
        }
        match found.iter().find(|(known, _)| *known == algorithm) {
            Some((_, known)) if *known != value => {
                return Err(wrong(format!("has two different digests of {:?}", clip(name))));
            }
            Some(_) => {}
            None => found.push((algorithm, value)),
        }
    }
    let strongest = found.into_iter().max_by_key(|(algorithm, _)| *algorithm);
    Ok(strongest.map(|(algorithm, value)| Digest { algorithm: ALGORITHMS[algorithm].0, value }))
}

fn wrong(what: String) -> FormatError {
    FormatError::Header(format!("the manifest (.mf) {what} (imprint disk: --ignore-manifest)"))
}

impl<'a> Line<'a> {
    /// `ALGORITHM(NAME)= DIGITS` with any blanks, or `DIGITS  NAME` as `sha256sum` writes it.
    fn parse(line: &'a str) -> Option<Self> {
        Self::named(line).or_else(|| Self::bare(line))
    }

    fn named(line: &'a str) -> Option<Self> {
        let (algorithm, rest) = line.split_once('(')?;
        let (name, value) = rest.rsplit_once('=')?;
        let name = name.trim_end().strip_suffix(')')?.trim();
        let algorithm: String = algorithm.chars().filter(char::is_ascii_alphanumeric).collect();
        let algorithm = algorithm.to_ascii_lowercase();
        let plain = algorithm.strip_prefix("sha2").filter(|rest| rest.len() == 3);
        let plain = plain.map_or(algorithm.clone(), |bits| format!("sha{bits}"));
        let algorithm = ALGORITHMS.iter().position(|(known, _)| *known == plain);
        Some(Self { name, algorithm, value: value.trim() })
    }

    fn bare(line: &'a str) -> Option<Self> {
        let (value, name) = line.split_once(char::is_whitespace)?;
        let is_digest = value.bytes().all(|byte| byte.is_ascii_hexdigit());
        let algorithm = ALGORITHMS.iter().position(|(_, digits)| *digits == value.len());
        let name = name.trim_start();
        let name = name.strip_prefix('*').unwrap_or(name);
        (is_digest && algorithm.is_some()).then_some(Self { name, algorithm, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Option<&'static str>, usize) {
        let mut remarks = Vec::new();
        let digest = digest_of(text.as_bytes(), |name| name == "my disk.vmdk", &mut remarks).unwrap();
        (digest.map(|digest| digest.algorithm), remarks.len())
    }

    #[test]
    fn exporters_spell_lines_in_many_ways() {
        let digits = "0123456789abcdefABCDEF".repeat(6);
        let (sha1, sha256, sha512) = (&digits[..40], &digits[..64], &digits[..128]);
        for line in [
            format!("SHA256(my disk.vmdk)= {sha256}"),
            format!("SHA256 (my disk.vmdk) = {sha256}"),
            format!("sha256 ( my disk.vmdk )={sha256}"),
            format!("SHA-256(my disk.vmdk)= {sha256}"),
            format!("SHA2-256(my disk.vmdk)= {sha256}"),
            format!("\u{feff}SHA256(my disk.vmdk)= {sha256}\r\n"),
            format!("# a comment\n// another\n; one more\n\nSHA256(my disk.vmdk)= {sha256}"),
            format!("{sha256}  my disk.vmdk"),
            format!("{sha256} *my disk.vmdk"),
            format!("SHA1(my disk.vmdk)= {sha1}\nSHA256(my disk.vmdk)= {sha256}"),
            format!("SHA256(my disk.vmdk)= {sha256}\nSHA256(my disk.vmdk)= {sha256}"),
        ] {
            assert_eq!(found(&line), (Some("sha256"), 0), "{line}");
        }
        assert_eq!(found(&format!("SHA512(my disk.vmdk)= {sha512}")), (Some("sha512"), 0));
        assert_eq!(found(&format!("SHA256(other)= {sha256}")), (None, 0));
        assert_eq!(found("MD5(my disk.vmdk)= 00\nhello\n"), (None, 2));
        assert_eq!(found(&"nonsense\n".repeat(100)), (None, MAX_REMARKS));
    }
}
