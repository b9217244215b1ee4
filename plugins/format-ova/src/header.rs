//! The header of a member: 512 bytes.

use imprint_plugin_sdk::format::FormatError;

use crate::{member::refused, name::until_nul};

/// What a header describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Zeroes: the end.
    End,
    /// Something with a size.
    Member(Described),
}

/// The kinds of members that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// Extended records for the next member.
    Records,
    /// Extended records for all members that follow.
    GlobalRecords,
    /// The name of the next member, as GNU tar writes long ones.
    LongName,
}

/// A member as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) kind: Kind,
    /// The bytes of its name, the prefix in front.
    pub(crate) name: Vec<u8>,
    pub(crate) size: u64,
}

impl Header {
    /// Parses 512 bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let block: &[u8; 512] = bytes
            .first_chunk()
            .ok_or_else(|| FormatError::Truncated("a tar header is not complete".to_owned()))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Self::End);
        }
        // `ustar`, NUL, `00` is POSIX; `ustar  `, NUL is GNU.
        if block[257..263] != *b"ustar\0" && block[257..265] != *b"ustar  \0" {
            return Err(FormatError::Header("there is no tar header where one should be".to_owned()));
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if octal(&block[148..156]) != Some(sum) {
            return Err(FormatError::Checksum("the checksum of a tar header is wrong".to_owned()));
        }
        let size = number(&block[124..136])
            .ok_or_else(|| FormatError::Header("the size of a member is impossible".to_owned()))?;
        let kind = match block[156] {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'x' => Kind::Records,
            b'g' => Kind::GlobalRecords,
            b'L' => Kind::LongName,
            b'1' | b'2' | b'K' => return Err(refused("the archive has a link")),
            b'3' | b'4' | b'6' => return Err(refused("the archive has a device or a pipe")),
            b'S' => return Err(refused("the archive has a sparse member")),
            other => {
                return Err(refused(format!("the archive has a member of the kind {:?}", char::from(other))));
            }
        };
        Ok(Self::Member(Described { kind, name: name(block), size }))
    }
}

fn name(block: &[u8; 512]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    // GNU keeps times in the place of the prefix.
    let prefix = if block[257..263] == *b"ustar\0" { until_nul(&block[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// Octal digits, or a positive number of 63 bits in base 256.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    let value = u64::from_be_bytes(low.try_into().ok()?);
    (*first == 0x80 && high.iter().all(|byte| *byte == 0) && value <= i64::MAX.unsigned_abs())
        .then_some(value)
}

/// Octal digits with blanks around them.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| u64::from_str_radix(text, 8).ok()).flatten()
}
