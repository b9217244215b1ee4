//! The members of a tar file (POSIX.1-2017 `pax`, and the long names of GNU tar).
//!
//! A name is text to compare with what the description says, never a path. What several programs
//! would read differently is refused; what they all read alike is read, and is a remark where it is
//! odd.

use imprint_plugin_sdk::{
    format::{FormatError, blob::read_exact},
    host::Blob,
    types::ByteRange,
};

use crate::{
    header::{Header, Kind},
    member::{Member, refused},
    name::{self, clip},
    records::{self, Overrides},
};

/// Bytes of a header, and what members are padded to.
pub(crate) const BLOCK: u64 = 512;
/// The most members.
const MAX_MEMBERS: usize = 64;
/// The most headers, those of records and folders included.
const MAX_HEADERS: usize = 4 * MAX_MEMBERS;
/// Longest extended record, or long name, that is read, in bytes.
const MAX_RECORDS: u64 = 64 << 10;
/// What usually follows the end of the archive: its last record, filled up with zeroes. As much is
/// looked at behind the end, and before the end of the file.
const MAX_TAIL: u64 = 1 << 20;
/// The largest size that a header of POSIX can state.
const MAX_OCTAL: u64 = 0o77_777_777_777;

/// The members of an archive, and what is odd about it.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(crate) members: Vec<Member>,
    pub(crate) remarks: Vec<String>,
}

/// Reads exactly this range, which the caller bounded and compared with the file.
pub(crate) fn read(blob: &dyn Blob, range: ByteRange) -> Result<Vec<u8>, FormatError> {
    read_exact(blob, range.offset, range.length)
}

impl Archive {
    /// Reads all headers. Every byte of the file belongs to a header, a member, its padding or the
    /// end.
    pub(crate) fn read(blob: &dyn Blob) -> Result<Self, FormatError> {
        let size = blob.size();
        let mut archive = Self::default();
        let mut pending = Overrides::default();
        let (mut headers, mut at) = (0, 0);
        loop {
            let data = at + BLOCK;
            if data > size {
                return archive.without_end(blob, at);
            }
            let header = Header::parse(&read(blob, ByteRange { offset: at, length: BLOCK })?)?;
            headers += 1;
            if headers > MAX_HEADERS {
                return Err(too_many());
            }
            let Header::Member(member) = header else {
                archive.end(blob, data)?;
                return Ok(archive);
            };
            let is_content = matches!(member.kind, Kind::File | Kind::Folder);
            let length = if is_content { true_size(member.size, pending.size)? } else { member.size };
            let range = ByteRange { offset: data, length };
            if data.checked_add(length).is_none_or(|end| end > size) {
                return Err(FormatError::Truncated(format!(
                    "a member of {length} bytes begins at {data}, and the file ends at {size}"
                )));
            }
            match member.kind {
                Kind::Records => records::next(&bounded(blob, range)?, &mut pending)?,
                Kind::GlobalRecords => records::global(&bounded(blob, range)?)?,
                Kind::LongName => pending.name = Some(records::long_name(&bounded(blob, range)?)),
                Kind::File | Kind::Folder => {
                    let taken = std::mem::take(&mut pending);
                    let name = taken.name.unwrap_or(member.name);
                    archive.add(member.kind, &name, range)?;
                }
            }
            let padded = length.checked_next_multiple_of(BLOCK).and_then(|padded| data.checked_add(padded));
            // The padding of the last member may be missing: its data was there.
            at = padded.unwrap_or(size).min(size.max(data));
        }
    }

    fn add(&mut self, kind: Kind, name: &[u8], data: ByteRange) -> Result<(), FormatError> {
        let (name, is_utf8) = name::flat(name)?;
        if kind == Kind::Folder {
            return if data.length == 0 {
                Ok(())
            } else {
                Err(refused("the archive has a folder with data"))
            };
        }
        if name.is_empty() {
            return Err(refused("a member has no name"));
        }
        if !is_utf8 {
            self.remarks.push(format!("the name of the member {:?} is not UTF-8", clip(&name)));
        }
        if name.rsplit('/').next().is_some_and(|last| last.starts_with("._")) {
            self.remarks.push(format!("the member {:?}, which macOS adds, is left out", clip(&name)));
            return Ok(());
        }
        if self.members.iter().any(|member| member.name == name) {
            return Err(refused(format!("two members have the name {:?}", clip(&name))));
        }
        if self.members.len() == MAX_MEMBERS {
            return Err(too_many());
        }
        self.members.push(Member { name, data });
        Ok(())
    }

    /// The file ends behind a member.
    fn without_end(mut self, blob: &dyn Blob, at: u64) -> Result<Self, FormatError> {
        let size = blob.size();
        let rest = ByteRange { offset: at, length: size.saturating_sub(at) };
        if self.members.is_empty() || !is_zero(&read(blob, rest)?) {
            return Err(FormatError::Truncated(format!(
                "the archive has no end before the file's, at {size}"
            )));
        }
        self.remarks.push("the archive has no end mark: it may be cut off".to_owned());
        Ok(self)
    }

    /// Behind the end there is nothing but zeroes, as far as it is looked at.
    fn end(&mut self, blob: &dyn Blob, at: u64) -> Result<(), FormatError> {
        let length = blob.size() - at;
        let first = ByteRange { offset: at, length: length.min(MAX_TAIL) };
        let last = ByteRange { offset: blob.size() - first.length, length: first.length };
        if !is_zero(&read(blob, first)?) || !is_zero(&read(blob, last)?) {
            return Err(FormatError::Header("there are bytes behind the end of the archive".to_owned()));
        }
        if length > MAX_TAIL {
            self.remarks.push(format!("{length} bytes follow the end of the archive"));
        }
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn too_many() -> FormatError {
    FormatError::TableSize(format!("the archive has more than {MAX_MEMBERS} members"))
}

fn bounded(blob: &dyn Blob, range: ByteRange) -> Result<Vec<u8>, FormatError> {
    if range.length > MAX_RECORDS {
        return Err(FormatError::TableSize(format!("an extended record has {} bytes", range.length)));
    }
    read(blob, range)
}

/// The size of a member: a record replaces that of the header only where a header cannot state it.
/// Programs that do not read records would see another archive otherwise.
fn true_size(stated: u64, recorded: Option<u64>) -> Result<u64, FormatError> {
    match recorded {
        None => Ok(stated),
        Some(size) if size == stated || size > MAX_OCTAL => Ok(size),
        Some(_) => Err(refused("an extended record overrides `size`")),
    }
}
