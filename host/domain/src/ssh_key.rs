//! Public SSH keys, as lines of `authorized_keys`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use sha2::{Digest, Sha256};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 16 << 10;

/// The shortest RSA key that servers accept, in bits.
const MIN_RSA_BITS: usize = 1024;

/// Why a text is not a public SSH key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyError {
    /// Nothing but white space.
    #[error("the line is empty; leave it out")]
    Empty,
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("a key has at most {MAX_KEY_BYTES} bytes")]
    TooLong,
    /// A line break or another control character.
    #[error("a key is one line, without control characters")]
    Control,
    /// A private key.
    #[error("this is a private key; give the public one, in the file that ends in .pub")]
    Private,
    /// No type of key that servers accept.
    #[error(
        "`{0}` is not a type of key; a line begins with one, such as `ssh-ed25519`, `ssh-rsa` or \
         `ecdsa-sha2-nistp256`"
    )]
    UnknownType(String),
    /// A type that servers do not accept any more.
    #[error("servers do not accept keys of the type ssh-dss any more; make one of the type ssh-ed25519")]
    Outdated,
    /// Nothing after the type.
    #[error("the key itself is missing after its type `{0}`")]
    Missing(&'static str),
    /// No base64.
    #[error("the text after `{0}` is not base64; copy the whole line of the .pub file")]
    Base64(&'static str),
    /// Another type inside the key, or parts that are missing, too many or of the wrong length.
    #[error("the text after `{0}` is not a key of this type; copy the whole line of the .pub file")]
    Structure(&'static str),
    /// An RSA key that servers refuse.
    #[error("an RSA key needs at least {MIN_RSA_BITS} bits, this one has {0}")]
    Short(usize),
}

/// What a key is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKeyFacts {
    /// The type of the key, such as `ssh-ed25519`.
    pub kind: &'static str,
    /// The fingerprint as OpenSSH shows it: `SHA256:` and the digest in base64 without padding.
    pub fingerprint: String,
}

/// A part of a key.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes.
    Bytes(usize),
    /// This text.
    Text(&'static str),
    /// A point of a curve: a byte that says that it is not compressed, and two coordinates of so
    /// many bytes.
    Point(usize),
    /// A positive number.
    Number,
    /// The modulus of an RSA key.
    Modulus,
    /// Any text: the application of a key on a device.
    Application,
}

/// The types of keys with their parts, which follow the name of the type.
const TYPES: [(&str, &[Part]); 7] = [
    ("ssh-ed25519", &[Part::Bytes(32)]),
    ("ssh-rsa", &[Part::Number, Part::Modulus]),
    ("ecdsa-sha2-nistp256", &[Part::Text("nistp256"), Part::Point(32)]),
    ("ecdsa-sha2-nistp384", &[Part::Text("nistp384"), Part::Point(48)]),
    ("ecdsa-sha2-nistp521", &[Part::Text("nistp521"), Part::Point(66)]),
    ("sk-ssh-ed25519@openssh.com", &[Part::Bytes(32), Part::Application]),
    ("sk-ecdsa-sha2-nistp256@openssh.com", &[Part::Text("nistp256"), Part::Point(32), Part::Application]),
];

/// Checks a line of `authorized_keys`: options, if any, the type, the key in base64, and a comment.
///
/// # Errors
///
/// [`SshKeyError`] for a line that no server accepts.
pub fn check_ssh_key(line: &str) -> Result<(), SshKeyError> {
    describe_ssh_key(line).map(drop)
}

/// Checks a line as [`check_ssh_key`] does, and returns what its key is recognised by.
///
/// # Errors
///
/// [`SshKeyError`] for a line that no server accepts.
pub fn describe_ssh_key(line: &str) -> Result<SshKeyFacts, SshKeyError> {
    if line.len() > MAX_KEY_BYTES {
        return Err(SshKeyError::TooLong);
    }
    if line.trim_start().starts_with("-----BEGIN") {
        return Err(SshKeyError::Private);
    }
    let line = line.trim();
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SshKeyError::Control);
    }
    if line.is_empty() {
        return Err(SshKeyError::Empty);
    }
    let (first, rest) = word(line);
    match typed(first) {
        Some((name, parts)) => describe_blob(name, parts, word(rest).0),
        None if first == "ssh-dss" => Err(SshKeyError::Outdated),
        // Options come before the type.
        None => {
            let (second, rest) = word(rest);
            match typed(second) {
                Some((name, parts)) => describe_blob(name, parts, word(rest).0),
                None => Err(SshKeyError::UnknownType(first.chars().take(40).collect())),
            }
        }
    }
}

fn typed(word: &str) -> Option<(&'static str, &'static [Part])> {
    TYPES.into_iter().find(|(name, _)| *name == word)
}

/// Splits off the first word; white space between quotes belongs to it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return text.split_at(at),
            _ => {}
        }
        escaped = c == '\\';
    }
    (text, "")
}

fn describe_blob(name: &'static str, parts: &[Part], encoded: &str) -> Result<SshKeyFacts, SshKeyError> {
    if encoded.is_empty() {
        return Err(SshKeyError::Missing(name));
    }
    let blob = STANDARD.decode(encoded).map_err(|_| SshKeyError::Base64(name))?;
    let wrong = || SshKeyError::Structure(name);
    let (inner, mut rest) = string(&blob).ok_or_else(wrong)?;
    if inner != name.as_bytes() {
        return Err(wrong());
    }
    for part in parts {
        let (value, after) = string(rest).ok_or_else(wrong)?;
        rest = after;
        let fits = match *part {
            Part::Bytes(length) => value.len() == length,
            Part::Text(text) => value == text.as_bytes(),
            Part::Point(length) => value.len() == 1 + 2 * length && value.first() == Some(&4),
            Part::Number => bits(value).is_some(),
            Part::Modulus => match bits(value) {
                Some(count) if count < MIN_RSA_BITS => return Err(SshKeyError::Short(count)),
                count => count.is_some(),
            },
            Part::Application => !value.is_empty(),
        };
        if !fits {
            return Err(wrong());
        }
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
    Ok(SshKeyFacts { kind: name, fingerprint })
}

/// Splits off bytes that begin with their number.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Returns the number of bits of a positive number.
fn bits(number: &[u8]) -> Option<usize> {
    let (first, _) = number.split_first()?;
    if *first >= 0x80 {
        return None;
    }
    let start = number.iter().position(|byte| *byte != 0)?;
    let digits = number.get(start..)?;
    let leading = usize::try_from(digits.first()?.leading_zeros()).ok()?;
    Some(digits.len() * 8 - leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn encoded(parts: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for part in parts {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(*part);
        }
        STANDARD.encode(blob)
    }

    fn rsa(bytes: usize) -> String {
        let modulus: Vec<u8> = [0].into_iter().chain(std::iter::repeat_n(0xc3, bytes)).collect();
        encoded(&[b"ssh-rsa", &[1, 0, 1], &modulus])
    }

    #[test]
    fn lines_that_servers_accept_are_accepted() {
        let point = [[4_u8].as_slice(), &[7; 64]].concat();
        for line in [
            format!("ssh-ed25519 {ED25519}"),
            format!("  ssh-ed25519\t{ED25519} me@laptop and more \n"),
            format!("restrict,command=\"echo \\\"a b\\\"\" ssh-ed25519 {ED25519} me"),
            format!("ssh-rsa {}", rsa(256)),
            format!("ecdsa-sha2-nistp256 {}", encoded(&[b"ecdsa-sha2-nistp256", b"nistp256", &point])),
            format!(
                "sk-ssh-ed25519@openssh.com {}",
                encoded(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"])
            ),
        ] {
            assert_eq!(check_ssh_key(&line), Ok(()), "{line}");
        }
    }

    #[test]
    fn a_key_is_recognised_by_its_type_and_fingerprint() {
        // What `ssh-keygen -l` prints for this key.
        let facts = SshKeyFacts {
            kind: "ssh-ed25519",
            fingerprint: "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA".to_owned(),
        };
        for line in [format!("ssh-ed25519 {ED25519}"), format!("restrict ssh-ed25519 {ED25519} me@laptop")] {
            assert_eq!(describe_ssh_key(&line), Ok(facts.clone()), "{line}");
        }
    }

    #[test]
    fn each_other_line_is_refused_for_its_own_reason() {
        let ed25519 = "ssh-ed25519";
        for (line, error) in [
            (String::new(), SshKeyError::Empty),
            ("not a key".to_owned(), SshKeyError::UnknownType("not".to_owned())),
            (format!("ssh-rsa1 {ED25519}"), SshKeyError::UnknownType("ssh-rsa1".to_owned())),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc".to_owned(), SshKeyError::Private),
            (format!("ssh-ed25519 {ED25519}\nssh-ed25519 {ED25519}"), SshKeyError::Control),
            (ed25519.to_owned(), SshKeyError::Missing(ed25519)),
            ("ssh-dss AAAA".to_owned(), SshKeyError::Outdated),
            ("ssh-ed25519 AAAA…".to_owned(), SshKeyError::Base64(ed25519)),
            (format!("ssh-ed25519 {}", &ED25519[..60]), SshKeyError::Structure(ed25519)),
            ("ssh-ed25519 AAAA me".to_owned(), SshKeyError::Structure(ed25519)),
            ("ssh-ed25519 aGVsbG8=".to_owned(), SshKeyError::Structure(ed25519)),
            (format!("ssh-rsa {ED25519}"), SshKeyError::Structure("ssh-rsa")),
            (
                format!("ssh-ed25519 {}", encoded(&[b"ssh-ed25519", &[7; 32], b"more"])),
                SshKeyError::Structure(ed25519),
            ),
            (format!("ssh-rsa {}", rsa(64)), SshKeyError::Short(512)),
            ("x".repeat(MAX_KEY_BYTES + 1), SshKeyError::TooLong),
        ] {
            assert_eq!(check_ssh_key(&line), Err(error), "{line}");
        }
    }
}
