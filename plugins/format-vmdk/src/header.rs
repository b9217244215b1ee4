//! The header of a hosted sparse extent (`SparseExtentHeader` of the technical note), and what must
//! hold for it.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{array, le16, le32, le64},
    },
    types::ByteRange,
};

use crate::sector::SECTOR;

/// `KDMV`.
pub(crate) const MAGIC: u32 = 0x564d_444b;
/// `COWD`: the sparse extents of old ESX hosts.
pub(crate) const COWD: u32 = 0x4457_4f43;
/// Space-efficient sparse extents of newer ESX hosts.
pub(crate) const SESPARSE: u64 = 0xcafe_babe;
/// The grain directory is named by the footer.
pub(crate) const GD_AT_END: u64 = u64::MAX;
/// Bytes of a header.
pub(crate) const HEADER: u64 = SECTOR;

pub(crate) const FLAG_NEWLINE: u32 = 1;
pub(crate) const FLAG_REDUNDANT: u32 = 1 << 1;
pub(crate) const FLAG_ZERO_GRAIN: u32 = 1 << 2;
pub(crate) const FLAG_COMPRESSED: u32 = 1 << 16;
pub(crate) const FLAG_MARKERS: u32 = 1 << 17;
const KNOWN_FLAGS: u32 = FLAG_NEWLINE | FLAG_REDUNDANT | FLAG_ZERO_GRAIN | FLAG_COMPRESSED | FLAG_MARKERS;
/// What a transfer as text would have changed.
pub(crate) const NEWLINES: [u8; 4] = [0x0a, 0x20, 0x0d, 0x0a];
pub(crate) const DEFLATE: u16 = 1;
/// Largest disk that VMware's products accept: 62 TiB.
pub(crate) const MAX_DISK: u64 = 62 << 40;
/// Longest descriptor that is read, in bytes.
pub(crate) const MAX_DESCRIPTOR: u64 = 64 << 10;
/// Longest grain directory that is read, in bytes: a disk of 62 TiB with grains of 64 KiB has less
/// than 8 MiB.
const MAX_DIRECTORY: u64 = 8 << 20;

/// What to do with a disk that is not read.
pub(crate) const CONVERT: &str =
    "convert the image with the tool that made it to monolithicSparse or streamOptimized";
/// Bytes of a grain's marker: the first sector of the disk that it holds, and the length of the
/// stream behind it.
pub(crate) const MARKER: u64 = 12;

/// How grains are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grains {
    /// As they are.
    Plain,
    /// Zlib streams behind markers.
    Framed,
}

/// A header or a footer that makes sense. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u32,
    /// Bytes of the disk, or of the part of it that this extent holds.
    pub(crate) capacity: u64,
    pub(crate) grain: u64,
    /// Grains of a table.
    pub(crate) entries: u64,
    /// Where the descriptor has its place; empty when it has none.
    pub(crate) descriptor: ByteRange,
    /// Redundant grain directory; `None` when the flags do not say that it is valid.
    pub(crate) redundant: Option<u64>,
    /// Grain directory; `None` when the footer has it.
    pub(crate) directory: Option<u64>,
    pub(crate) unclean: bool,
    pub(crate) zero_grains: bool,
    pub(crate) grains: Grains,
}

impl Header {
    /// Parses 512 bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::fields(bytes)
            .unwrap_or_else(|| Err(FormatError::Truncated("the header is not complete".to_owned())))
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, FormatError>> {
        let raw = Raw {
            magic: le32(bytes, 0)?,
            version: le32(bytes, 4)?,
            flags: le32(bytes, 8)?,
            capacity: le64(bytes, 12)?,
            grain: le64(bytes, 20)?,
            descriptor: (le64(bytes, 28)?, le64(bytes, 36)?),
            entries: le32(bytes, 44)?,
            redundant: le64(bytes, 48)?,
            directory: le64(bytes, 56)?,
            unclean: *bytes.get(72)?,
            newlines: array(bytes, 73)?,
            compression: le16(bytes, 77)?,
        };
        Some(raw.parsed())
    }

    /// Bytes of the disk that one grain table describes.
    pub(crate) fn span(&self) -> u64 {
        self.grain * self.entries
    }

    /// Entries of a grain directory.
    pub(crate) fn directory_entries(&self) -> u64 {
        self.capacity.div_ceil(self.span())
    }

    /// Bytes of a grain table.
    pub(crate) fn table(&self) -> u64 {
        self.entries * 4
    }

    /// Whether a footer describes the same disk.
    pub(crate) fn agrees(&self, footer: &Self) -> bool {
        let of = |header: &Self| {
            (
                header.capacity,
                header.grain,
                header.entries,
                header.descriptor,
                header.grains,
                header.zero_grains,
            )
        };
        of(self) == of(footer)
    }
}

/// The fields as they are stored; offsets and lengths in sectors.
struct Raw {
    magic: u32,
    version: u32,
    flags: u32,
    capacity: u64,
    grain: u64,
    descriptor: (u64, u64),
    entries: u32,
    redundant: u64,
    directory: u64,
    unclean: u8,
    newlines: [u8; 4],
    compression: u16,
}

impl Raw {
    fn parsed(&self) -> Result<Header, FormatError> {
        let bad = |what: String| Err(FormatError::Header(what));
        if self.magic != MAGIC {
            return bad("the header does not begin with KDMV".to_owned());
        }
        if !(1..=3).contains(&self.version) {
            return Err(FormatError::Version(format!(
                "VMDK version {} is not supported; convert the image with the tool that made it",
                self.version
            )));
        }
        if self.flags & !KNOWN_FLAGS != 0 {
            return Err(FormatError::Feature(format!(
                "the header has unknown flags ({:#x}); {CONVERT}",
                self.flags
            )));
        }
        if self.flags & FLAG_NEWLINE != 0 && self.newlines != NEWLINES {
            return bad("the file's line ends were changed by a transfer as text".to_owned());
        }
        if !self.grain.is_power_of_two() || !(8..=1024).contains(&self.grain) {
            return bad(format!("a grain of {} sectors is no power of two from 8 to 1024", self.grain));
        }
        if !self.entries.is_power_of_two() || !(128..=4096).contains(&self.entries) {
            return bad(format!("a grain table has {} entries; 512 are usual", self.entries));
        }
        let capacity = self.capacity.checked_mul(SECTOR).filter(|bytes| *bytes <= MAX_DISK);
        let Some(capacity) = capacity else {
            return Err(FormatError::VirtualSize(format!(
                "the header claims a disk of {} sectors; a VMDK has at most {}",
                self.capacity,
                MAX_DISK / SECTOR
            )));
        };
        let header = Header {
            version: self.version,
            capacity,
            grain: self.grain * SECTOR,
            entries: self.entries.into(),
            descriptor: self.descriptor()?,
            // A place where no table can be is none: the primary directory is there.
            redundant: if self.flags & FLAG_REDUNDANT == 0 { None } else { bytes_at(self.redundant).ok() },
            directory: (self.directory != GD_AT_END).then(|| bytes_at(self.directory)).transpose()?,
            unclean: self.unclean != 0,
            zero_grains: self.flags & FLAG_ZERO_GRAIN != 0,
            grains: self.grains()?,
        };
        if header.directory_entries() * 4 > MAX_DIRECTORY {
            return Err(FormatError::TableSize(format!(
                "the grain directory of {} entries is longer than {MAX_DIRECTORY} bytes; convert the image to grains of 64 KiB",
                header.directory_entries()
            )));
        }
        Ok(header)
    }

    fn descriptor(&self) -> Result<ByteRange, FormatError> {
        let (offset, sectors) = self.descriptor;
        if offset == 0 || sectors == 0 {
            return Ok(ByteRange { offset: 0, length: 0 });
        }
        if sectors > MAX_DESCRIPTOR / SECTOR {
            return Err(FormatError::TableSize(format!(
                "the embedded descriptor claims {sectors} sectors; at most {} are read",
                MAX_DESCRIPTOR / SECTOR
            )));
        }
        Ok(ByteRange { offset: bytes_at(offset)?, length: sectors * SECTOR })
    }

    fn grains(&self) -> Result<Grains, FormatError> {
        match (self.flags & FLAG_COMPRESSED != 0, self.flags & FLAG_MARKERS != 0, self.compression) {
            (false, false, 0) => Ok(Grains::Plain),
            (true, true, DEFLATE) => Ok(Grains::Framed),
            (true, false, _) => Err(FormatError::Feature(format!(
                "the image has compressed grains without markers; {CONVERT}"
            ))),
            (true, true, other) => {
                Err(FormatError::Feature(format!("the image has compression {other}; {CONVERT}")))
            }
            (false, true, _) => {
                Err(FormatError::Feature(format!("the image has markers without compression; {CONVERT}")))
            }
            (false, false, other) => Err(FormatError::Header(format!(
                "the header names compression {other}, and its flags say that nothing is compressed"
            ))),
        }
    }
}

/// A sector number of the header in bytes. 0 is the header itself: nothing else is there.
fn bytes_at(sector: u64) -> Result<u64, FormatError> {
    sector
        .checked_mul(SECTOR)
        .filter(|bytes| *bytes >= HEADER)
        .ok_or_else(|| FormatError::Table(format!("the header places a table at sector {sector:#x}")))
}
