//! The manifest: digests of members, one a line.

use imprint_plugin_sdk::format::FormatError;

use crate::tar::clip;

/// A digest of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// `sha1`, `sha256`, `sha512`.
    pub(crate) algorithm: String,
    /// Lower hexadecimal digits.
    pub(crate) value: String,
}

/// The digest of `member`: `SHA256(disk1.vmdk)= 0123...`. `None` when the manifest does not name
/// it.
pub(crate) fn digest_of(text: &[u8], member: &str) -> Result<Option<Digest>, FormatError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| FormatError::Header("the manifest (.mf) is not UTF-8".to_owned()))?;
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, digest) = parsed(line).ok_or_else(|| {
            FormatError::Header(format!("the line {:?} of the manifest (.mf) cannot be parsed", clip(line)))
        })?;
        if name == member && found.replace(digest).is_some() {
            return Err(FormatError::Header(format!("the manifest (.mf) names {member:?} twice")));
        }
    }
    Ok(found)
}

fn parsed(line: &str) -> Option<(&str, Digest)> {
    let (algorithm, rest) = line.split_once('(')?;
    let (name, value) = rest.rsplit_once('=')?;
    let name = name.trim_end().strip_suffix(')')?;
    let algorithm = algorithm.trim().to_ascii_lowercase();
    let digits = match algorithm.as_str() {
        "sha1" => 40,
        "sha256" => 64,
        "sha512" => 128,
        _ => return None,
    };
    let value = value.trim().to_ascii_lowercase();
    let hex = value.len() == digits && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then_some((name, Digest { algorithm, value }))
}
