//! The members of a tar file, each of them a plain file with a plain name.

use imprint_plugin_sdk::{
    format::{FormatError, blob::read_exact},
    host::Blob,
    types::ByteRange,
};

/// Bytes of a header, and what members are padded to.
pub(crate) const BLOCK: u64 = 512;
/// The most members.
const MAX_MEMBERS: usize = 64;
/// Longest name.
const MAX_NAME: usize = 128;
/// Longest extended record that is read, in bytes.
const MAX_RECORDS: u64 = 64 << 10;
/// What may follow the end of the archive: its last record, filled up with zeroes.
const MAX_TAIL: u64 = 1 << 20;
/// Keys of extended records that change neither name nor place nor size.
const HARMLESS: [&str; 8] = ["mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"];

/// A plain file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) data: ByteRange,
}

/// What a header describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Zeroes: the end.
    End,
    File {
        name: String,
        size: u64,
    },
    /// Extended records, for the next member or for all.
    Records {
        size: u64,
    },
}

/// Refuses a member of a kind that attacks are made of and that no OVA needs.
fn refused(what: impl Into<String>) -> FormatError {
    let what = what.into();
    FormatError::Member(format!("{what}; pack the .ovf and its disks again as plain files with plain names"))
}

/// Reads exactly this range, which the caller bounded and compared with the file.
pub(crate) fn read(blob: &dyn Blob, range: ByteRange) -> Result<Vec<u8>, FormatError> {
    read_exact(blob, range.offset, range.length)
}

/// All members. Every byte of the file belongs to a header, a member, its padding or the end.
pub(crate) fn members(blob: &dyn Blob) -> Result<Vec<Member>, FormatError> {
    let size = blob.size();
    let mut members: Vec<Member> = Vec::new();
    let mut headers = 0;
    let mut at = 0;
    loop {
        let data = at + BLOCK;
        if data > size {
            return Err(FormatError::Truncated(format!(
                "the archive has no end before the file's, at {size}"
            )));
        }
        let header = Header::parse(&read(blob, ByteRange { offset: at, length: BLOCK })?)?;
        headers += 1;
        if headers > 2 * MAX_MEMBERS {
            return Err(FormatError::TableSize(format!("the archive has more than {MAX_MEMBERS} members")));
        }
        let (Header::File { size: length, .. } | Header::Records { size: length }) = header else {
            end(blob, data)?;
            return Ok(members);
        };
        let padded = length.checked_next_multiple_of(BLOCK).and_then(|padded| data.checked_add(padded));
        let Some(next) = padded.filter(|next| *next <= size) else {
            return Err(FormatError::Truncated(format!(
                "a member of {length} bytes begins at {data}, and the file ends at {size}"
            )));
        };
        let range = ByteRange { offset: data, length };
        match header {
            Header::End => {}
            Header::Records { .. } => records(blob, range)?,
            Header::File { name, .. } => {
                if members.iter().any(|member| member.name == name) {
                    return Err(refused(format!("two members have the name {name:?}")));
                }
                if members.len() == MAX_MEMBERS {
                    return Err(FormatError::TableSize(format!(
                        "the archive has more than {MAX_MEMBERS} members"
                    )));
                }
                members.push(Member { name, data: range });
            }
        }
        at = next;
    }
}

/// Behind the end there is nothing but zeroes, and not many.
fn end(blob: &dyn Blob, at: u64) -> Result<(), FormatError> {
    let tail = ByteRange { offset: at, length: blob.size() - at };
    let hidden = || FormatError::Header("there are bytes behind the end of the archive".to_owned());
    if tail.length > MAX_TAIL {
        return Err(hidden());
    }
    if read(blob, tail)?.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(hidden()) }
}

/// Extended records: `LENGTH KEY=VALUE\n`, one behind the other. Only those that change nothing are
/// accepted.
fn records(blob: &dyn Blob, range: ByteRange) -> Result<(), FormatError> {
    if range.length > MAX_RECORDS {
        return Err(FormatError::TableSize(format!("an extended record has {} bytes", range.length)));
    }
    let bytes = read(blob, range)?;
    let bad = || FormatError::Header("an extended record cannot be parsed".to_owned());
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let length = length.filter(|length| *length > space + 1).ok_or_else(bad)?;
        let record =
            rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        let key = String::from_utf8_lossy(&record[..equals]).into_owned();
        if !HARMLESS.contains(&key.as_str()) {
            return Err(refused(format!("an extended record overrides `{}`", clip(&key))));
        }
        rest = &rest[length..];
    }
    Ok(())
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
        match block[156] {
            b'0' | 0 => Ok(Self::File { name: name(block)?, size }),
            b'x' | b'g' => Ok(Self::Records { size }),
            b'1' | b'2' => Err(refused("the archive has a link")),
            b'3' | b'4' | b'6' => Err(refused("the archive has a device or a pipe")),
            b'5' => Err(refused("the archive has a folder")),
            b'S' => Err(refused("the archive has a sparse member")),
            b'L' | b'K' => Err(refused("the archive has a long name")),
            other => Err(refused(format!("the archive has a member of the kind {:?}", char::from(other)))),
        }
    }
}

/// A flat name of letters, digits, `.`, `_` and `-`.
fn name(block: &[u8; 512]) -> Result<String, FormatError> {
    let until_nul = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let prefix = until_nul(&block[345..500]);
    // GNU keeps times in this place.
    let posix = block[257..263] == *b"ustar\0";
    let bytes = until_nul(&block[..100]);
    let plain = !bytes.is_empty()
        && bytes.len() <= MAX_NAME
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        && bytes != b"."
        && bytes != b"..";
    if !plain || posix && !prefix.is_empty() {
        let shown = clip(&String::from_utf8_lossy(&bytes));
        return Err(refused(format!(
            "a member is called {shown:?}; letters, digits, '.', '_' and '-' are accepted, and no folders"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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

/// Untrusted text in a message: its start.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
