//! Names of members, and references to them.
//!
//! Both are text: they are compared with each other, and nothing is ever opened by one.

use imprint_plugin_sdk::format::FormatError;

use crate::member::{Member, refused};

/// Longest name, in bytes.
const MAX_NAME: usize = 1024;

/// Untrusted text in a message: its start.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What is in a field in front of the first NUL.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A name without `./`, and whether it was UTF-8; other bytes count as Latin-1. A folder of the
/// archive itself is empty. Names that lead anywhere else are refused.
pub(crate) fn flat(bytes: &[u8]) -> Result<(String, bool), FormatError> {
    let (text, is_utf8) = decoded(bytes);
    let refuse = |why: &str| Err(refused(format!("a member is called {:?}, {why}", clip(&text))));
    if bytes.len() > MAX_NAME {
        return refuse("which is too long");
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("with characters that no name has");
    }
    let path = text.strip_suffix('/').unwrap_or(&text);
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" if path.is_empty() => {}
            "" | ".." => return refuse("which leads out of the archive"),
            "." => {}
            part => parts.push(part),
        }
    }
    Ok((parts.join("/"), is_utf8))
}

/// Text in UTF-8, else in Latin-1.
pub(crate) fn decoded(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (bytes.iter().map(|byte| char::from(*byte)).collect(), false),
    }
}

/// Finds the member that a reference means: a relative one (RFC 3986) from the place of the
/// description, as it is written, or with its percent signs decoded. `None` where there is none.
pub(crate) fn find<'a>(
    members: &'a [Member],
    description: &Member,
    reference: &str,
) -> Result<Option<&'a Member>, FormatError> {
    let folder = description.name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let written = [reference.to_owned(), percent_decoded(reference).unwrap_or_default()];
    let wanted: Vec<String> = written.iter().filter_map(|text| relative(folder, text)).collect();
    let mut found = members.iter().filter(|member| wanted.contains(&member.name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(FormatError::Header(format!(
            "the reference {:?} means two members: one by its text, and one with its percent signs decoded",
            clip(reference)
        ))),
    }
}

/// The name of a member that a reference in a folder means.
fn relative(folder: &str, reference: &str) -> Option<String> {
    if reference.is_empty() || reference.starts_with('/') {
        return None;
    }
    let path = if folder.is_empty() { reference.to_owned() } else { format!("{folder}/{reference}") };
    flat(path.as_bytes()).ok().map(|(name, _)| name).filter(|name| !name.is_empty())
}

/// `None` for text that is not encoded that way.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = more.get(2..)?;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    Some(decoded(&bytes).0)
}

#[cfg(test)]
mod tests {
    use imprint_plugin_sdk::types::ByteRange;

    use super::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), data: ByteRange { offset: 0, length: 0 } }
    }

    #[test]
    fn names_are_flat_text() {
        for (given, expected) in [
            ("a b (1)+,@.vmdk", "a b (1)+,@.vmdk"),
            ("./././x", "x"),
            ("a/./b", "a/b"),
            ("a/b/", "a/b"),
            ("./", ""),
            (".", ""),
            ("ü.ovf", "ü.ovf"),
            ("..x", "..x"),
        ] {
            assert_eq!(flat(given.as_bytes()).unwrap(), (expected.to_owned(), true), "{given}");
        }
        assert_eq!(flat(b"\xfc.ovf").unwrap(), ("ü.ovf".to_owned(), false));
        for wrong in ["../x", "a/../b", "/etc/passwd", "a//b", "a\\b", "x\n", "..", "//"] {
            assert_eq!(flat(wrong.as_bytes()).unwrap_err().code(), "denied.member", "{wrong:?}");
        }
        assert!(flat("x".repeat(1025).as_bytes()).is_err());
    }

    #[test]
    fn references_mean_members_next_to_the_description() {
        let members = ["a b.vmdk", "vm/c.vmdk", "50%25.vmdk", "d%20e.vmdk", "d e.vmdk"].map(member);
        let means = |description: &str, reference: &str| {
            let found = find(&members, &member(description), reference);
            found.map(|found| found.map(|member| member.name.clone()))
        };
        for reference in ["a b.vmdk", "a%20b.vmdk", "./a%20b.vmdk"] {
            assert_eq!(means("x.ovf", reference).unwrap().as_deref(), Some("a b.vmdk"), "{reference}");
        }
        assert_eq!(means("vm/x.ovf", "c.vmdk").unwrap().as_deref(), Some("vm/c.vmdk"));
        assert_eq!(means("x.ovf", "50%25.vmdk").unwrap().as_deref(), Some("50%25.vmdk"));
        for other in ["", "/a b.vmdk", "../a b.vmdk", "http://host/a b.vmdk", "A B.VMDK", "%2e%2e/x", "%zz"] {
            assert_eq!(means("x.ovf", other).unwrap(), None, "{other}");
        }
        assert_eq!(means("x.ovf", "d%20e.vmdk").unwrap_err().code(), "corrupt.header");
    }
}
