//! The header of a member of a tar file, and what may stand in front of it.

/// The bytes of a block.
pub(super) const BLOCK: usize = 512;
/// The name of the member that is a disk.
pub(super) const MEMBER: &[u8] = b"disk.raw";

/// The kinds of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain file.
    File,
    /// A sparse file in GNU's old format.
    Sparse,
    /// Extended records about the members that follow.
    Records,
    /// The name of the next member, as GNU tar writes long ones.
    LongName,
    /// What a disk is not.
    Other(&'static str),
}

/// What a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a [u8],
    /// The bytes in the archive.
    pub(super) size: u64,
}

impl<'a> Header<'a> {
    /// Parses a block; `None` for zeroes, which are the end.
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Option<Self>, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let [.., b'u', b's', b't', b'a', b'r', b'\0' | b' '] = block[..263] else {
            return Err("there is no tar header where one should be");
        };
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if octal(&block[148..156]) != Some(sum) {
            return Err("the checksum of a tar header is wrong");
        }
        let size = number(&block[124..136]).ok_or("the size of a member is impossible")?;
        let kind = match block[156] {
            b'0' | 0 => Kind::File,
            b'S' => Kind::Sparse,
            b'x' | b'g' => Kind::Records,
            b'L' => Kind::LongName,
            b'1' | b'2' | b'K' => Kind::Other("a link"),
            b'3' | b'4' | b'6' => Kind::Other("a device or a pipe"),
            b'5' => Kind::Other("a folder"),
            _ => Kind::Other("a member of an unknown kind"),
        };
        Ok(Some(Self { kind, name: until_nul(&block[..100]), size }))
    }
}

/// What stands in front of a member and is about it.
#[derive(Debug, Default)]
pub(super) struct Named {
    name: Option<Vec<u8>>,
    /// The size of the member where its own header has no room for it.
    pub(super) size: Option<u64>,
}

impl Named {
    /// Reads extended records: `LENGTH KEY=VALUE` and a line feed, one after the other.
    pub(super) fn read_records(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        const WRONG: &str = "its extended records are damaged";
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ').ok_or(WRONG)?;
            let length = bytes.get(..blank).and_then(decimal).and_then(|length| usize::try_from(length).ok());
            let (record, rest) = length.and_then(|length| bytes.split_at_checked(length)).ok_or(WRONG)?;
            let record = record.get(blank + 1..).and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or(WRONG)?;
            let middle = record.iter().position(|byte| *byte == b'=').ok_or(WRONG)?;
            let (key, value) = record.split_at(middle);
            match (key, value.get(1..).unwrap_or_default()) {
                (b"size", value) => self.size = Some(decimal(value).ok_or(WRONG)?),
                (b"path", value) => self.name = Some(value.to_vec()),
                (key, _) if key.starts_with(b"GNU.sparse.") => {
                    return Err("its member is sparse in a way that is not read; make it with \
                                `tar --format=oldgnu -Sczf`");
                }
                (_, _) => {}
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Reads the name of the next member.
    pub(super) fn read_long_name(&mut self, bytes: &[u8]) {
        self.name = Some(until_nul(bytes).to_vec());
    }

    /// Refuses a member that is not the disk, by its name in the header unless another was read.
    pub(super) fn require_disk(&self, name: &[u8]) -> Result<(), &'static str> {
        let name = self.name.as_deref().unwrap_or(name);
        if name.strip_prefix(b"./").unwrap_or(name) == MEMBER {
            return Ok(());
        }
        Err("its member is not `disk.raw`")
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or a positive number of 63 bits in base 256.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    let value = u64::from_be_bytes(low.try_into().ok()?);
    let is_positive = *first == 0x80 && high.iter().all(|byte| *byte == 0);
    (is_positive && i64::try_from(value).is_ok()).then_some(value)
}

/// Octal digits with blanks around them.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| u64::from_str_radix(text, 8).ok()).flatten()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let value = is_number.then(|| std::str::from_utf8(digits).ok()?.parse::<u64>().ok()).flatten()?;
    i64::try_from(value).is_ok().then_some(value)
}
