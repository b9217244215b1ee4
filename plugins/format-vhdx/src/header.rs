//! The file's mark and its two headers, of which one is current ([MS-VHDX] 2.2).
//!
//! ```text
//! 0        "vhdxfile", creator (UTF-16, 512 bytes)
//! 64 KiB   header: 0 "head", 4 CRC, 8 sequence number, 16 file write, 32 data write, 48 log GUID,
//! 128 KiB          64 log version, 66 version, 68 log length, 72 log offset
//! 192 KiB  region table, 256 KiB its copy
//! ```

use imprint_plugin_sdk::{
    format::{
        FormatError, Guess,
        blob::read_exact,
        wire::{le16, le32, le64},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{crc, guid::Guid};

/// First bytes of the file.
pub const MARK: &[u8; 8] = b"vhdxfile";
pub(crate) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
pub(crate) const HEADER_LENGTH: u64 = 4096;
/// Where the region tables begin: nothing before can be changed through the log.
pub(crate) const HEADERS_END: u64 = 192 << 10;
/// Mark, headers and region tables have the first MiB for themselves.
pub(crate) const MIB: u64 = 1 << 20;
const CREATOR: usize = 512;
const CONVERT: &str = "convert the image with `Convert-VHD` or `qemu-img convert`";
/// What to do with a file whose log is not played back.
pub(crate) const CLOSE: &str = "open and close the original once in Hyper-V, or with `qemu-img check -r all`, so that the log is played back";
const MAX_LOG: u64 = 64 << 20;

/// A header that has the right mark and checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    bytes: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) data_write: Guid,
    /// Zero when there is nothing to be played back.
    pub(crate) log_guid: Guid,
    pub(crate) log: ByteRange,
}

/// The state of one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Valid(Header),
    /// Neither mark nor checksum can be believed; `marked` says whether the mark is there.
    Invalid {
        marked: bool,
    },
}

/// What the beginning of a file says.
pub(crate) struct Front {
    pub(crate) slots: [Slot; 2],
    pub(crate) current: Header,
    /// The program that made the file, by what the file says; untrusted text.
    pub(crate) creator: String,
}

impl Front {
    /// Reads mark and headers, and decides which header is current.
    pub(crate) fn read(blob: &dyn Blob) -> Result<Self, FormatError> {
        let start = read_exact(blob, 0, blob.size().min(8 + 512))?;
        if !start.starts_with(MARK) {
            return Err(FormatError::Header("the file does not start with the VHDX mark".to_owned()));
        }
        if blob.size() < MIB {
            return Err(FormatError::Truncated("the file ends inside its first MiB".to_owned()));
        }
        let slots = [Slot::read(blob, HEADERS[0])?, Slot::read(blob, HEADERS[1])?];
        let current = match &slots {
            [Slot::Valid(one), Slot::Valid(two)]
                if one.sequence == two.sequence && one.bytes != two.bytes =>
            {
                return Err(FormatError::Header(format!(
                    "both headers are valid with the sequence number {}, and they differ",
                    one.sequence
                )));
            }
            [Slot::Valid(one), Slot::Valid(two)] if one.sequence >= two.sequence => one,
            [_, Slot::Valid(header)] | [Slot::Valid(header), Slot::Invalid { .. }] => header,
            [Slot::Invalid { marked: one }, Slot::Invalid { marked: two }] => {
                return Err(if *one || *two {
                    FormatError::Checksum("neither header has the right checksum".to_owned())
                } else {
                    FormatError::Header("there is no header".to_owned())
                });
            }
        };
        let current = current.clone();
        current.check(blob.size())?;
        Ok(Self { slots, current, creator: creator(start.get(8..).unwrap_or_default()) })
    }
}

impl Slot {
    fn read(blob: &dyn Blob, offset: u64) -> Result<Self, FormatError> {
        let bytes = read_exact(blob, offset, HEADER_LENGTH)?;
        let marked = bytes.starts_with(b"head");
        if !marked || le32(&bytes, 4) != Some(crc::of_structure(&bytes)) {
            return Ok(Self::Invalid { marked });
        }
        let guid = |at| Guid::read(&bytes, at).unwrap_or(Guid::ZERO);
        let log =
            ByteRange { offset: le64(&bytes, 72).unwrap_or(0), length: le32(&bytes, 68).unwrap_or(0).into() };
        Ok(Self::Valid(Header {
            sequence: le64(&bytes, 8).unwrap_or(0),
            data_write: guid(32),
            log_guid: guid(48),
            log,
            bytes,
        }))
    }
}

impl Header {
    /// Whether the file was not closed, so that the log counts.
    pub(crate) fn is_dirty(&self) -> bool {
        self.log_guid != Guid::ZERO
    }

    fn check(&self, file: u64) -> Result<(), FormatError> {
        let version = le16(&self.bytes, 66).unwrap_or(0);
        if version != 1 {
            return Err(FormatError::Version(format!(
                "version {version} of the format is not supported; {CONVERT}"
            )));
        }
        let log_version = le16(&self.bytes, 64).unwrap_or(0);
        if self.is_dirty() && log_version != 0 {
            return Err(FormatError::Version(format!(
                "version {log_version} of the log is not supported; {CONVERT}"
            )));
        }
        let ByteRange { offset, length } = self.log;
        if length == 0 && !self.is_dirty() {
            return Ok(());
        }
        if !offset.is_multiple_of(MIB) || !length.is_multiple_of(MIB) || offset < MIB || length == 0 {
            return Err(FormatError::Header(format!(
                "the log ({length} bytes at {offset:#x}) is not made of whole MiB behind the first"
            )));
        }
        match offset.checked_add(length) {
            Some(end) if end <= file => {}
            _ => {
                return Err(FormatError::Truncated(format!(
                    "the log has {length} bytes at {offset:#x}, and the file ends at {file:#x}"
                )));
            }
        }
        if self.is_dirty() && length > MAX_LOG {
            return Err(FormatError::LogSize(format!(
                "the log that must be played back has {length} bytes, and {MAX_LOG} are possible; {CLOSE}"
            )));
        }
        Ok(())
    }
}

/// Recognises a file by its first bytes.
pub fn probe(head: &[u8]) -> Option<Guess> {
    let guess = Guess { confidence: 100, format: "vhdx".to_owned(), subformat: None };
    head.starts_with(MARK).then_some(guess)
}

/// The text up to its zero; what is no text, and what would steer a terminal, is replaced.
fn creator(bytes: &[u8]) -> String {
    let (units, _) = bytes.get(..CREATOR).unwrap_or(bytes).as_chunks();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    text.map(|unit| if unit.is_control() { char::REPLACEMENT_CHARACTER } else { unit }).collect()
}
