//! The footer: 512 bytes at the end of every VHD, and a copy of it at the start of dynamic and
//! differencing ones.
//!
//! Big endian: cookie `conectix`, features@8, version@12, offset of the dynamic header@16, time@24,
//! creator@28, its version@32, its system@36, original size@40, current size@48, geometry@56,
//! kind@60, checksum@64, id@68, saved state@84. Virtual PC before 2004 wrote 511 bytes.

use imprint_plugin_sdk::format::{
    FormatError,
    wire::{array, be32, be64},
};

use crate::geometry::Geometry;

/// First eight bytes.
pub const COOKIE: &[u8; 8] = b"conectix";
/// Bytes of a footer.
pub const LENGTH: u64 = 512;
/// Bytes of a footer of old versions of Virtual PC.
pub const OLD_LENGTH: u64 = 511;

const CHECKSUM_AT: usize = 64;
/// Where in a footer is what the disk depends on: all but features, times and the creator's
/// version.
const VITAL: [std::ops::Range<usize>; 3] = [16..24, 28..32, 48..64];
const ID: std::ops::Range<usize> = 68..84;

/// What to do with a disk that is not read.
pub(crate) const CONVERT: &str =
    "convert the image with the program that made it to a dynamic VHD with blocks of 2 MiB";

/// The kinds of VHD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The disk's bytes, and a footer.
    Fixed,
    /// Blocks that exist as far as they were written.
    Dynamic,
    /// The same, and a parent for the rest.
    Differencing,
}

impl Kind {
    /// The subformat's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Dynamic => "dynamic",
            Self::Differencing => "differencing",
        }
    }

    fn parse(number: u32) -> Result<Self, FormatError> {
        match number {
            2 => Ok(Self::Fixed),
            3 => Ok(Self::Dynamic),
            4 => Ok(Self::Differencing),
            other => Err(FormatError::Feature(format!(
                "the footer says that the disk is of the kind {other}; {CONVERT}"
            ))),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Fixed => 2,
            Self::Dynamic => 3,
            Self::Differencing => 4,
        }
    }
}

/// How a wrong checksum is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// It is refused.
    Refuse,
    /// The rest is read as far as it makes sense.
    Salvage,
}

/// A footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// What kind of disk it is.
    pub kind: Kind,
    /// Where the dynamic header is; meaningless for a fixed disk.
    pub header_offset: u64,
    /// Which program made it.
    pub creator: [u8; 4],
    /// The size field, in bytes.
    pub current_size: u64,
    /// The geometry.
    pub geometry: Geometry,
    /// Identity of this layer.
    pub id: [u8; 16],
    /// The machine was suspended when the file was closed.
    pub saved_state: bool,
}

impl Footer {
    /// Reads a footer of 512 or 511 bytes that begins with the cookie.
    pub fn parse(bytes: &[u8], damaged: Damaged) -> Result<Self, FormatError> {
        if !bytes.starts_with(COOKIE) {
            return Err(FormatError::Header("the footer does not begin with its mark".to_owned()));
        }
        if Some(checksum(bytes, CHECKSUM_AT)) != be32(bytes, CHECKSUM_AT) && damaged == Damaged::Refuse {
            return Err(wrong_checksum("footer"));
        }
        let word = |at| be32(bytes, at).ok_or_else(|| cut_off("footer"));
        let long = |at| be64(bytes, at).ok_or_else(|| cut_off("footer"));
        check_version(word(12)?, "footer")?;
        Ok(Self {
            kind: Kind::parse(word(60)?)?,
            header_offset: long(16)?,
            creator: array(bytes, 28).unwrap_or_default(),
            current_size: long(48)?,
            geometry: Geometry::parse(bytes, 56),
            id: array(bytes, ID.start).unwrap_or_default(),
            saved_state: bytes.get(84) == Some(&1),
        })
    }

    /// The 512 bytes of a footer without times: the same for the same disk.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = COOKIE.to_vec();
        // Bit 1 is always set; version 1.0.
        [2_u32, 0x0001_0000].iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        bytes.extend(self.header_offset.to_be_bytes());
        // No time.
        bytes.extend([0; 4]);
        bytes.extend(self.creator);
        bytes.extend(0x0001_0000_u32.to_be_bytes());
        bytes.extend(b"Wi2k");
        [self.current_size; 2].iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(self.geometry.bytes());
        bytes.extend(self.kind.number().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.id);
        bytes.push(u8::from(self.saved_state));
        bytes.resize(usize::try_from(LENGTH).expect("it is 512"), 0);
        seal(&mut bytes, CHECKSUM_AT);
        bytes
    }
}

pub(crate) fn wrong_checksum(what: &str) -> FormatError {
    FormatError::Checksum(format!(
        "the checksum of the {what} is wrong; the image can be read in spite of it (imprint disk: --salvage)"
    ))
}

pub(crate) fn cut_off(what: &str) -> FormatError {
    FormatError::Truncated(format!("the {what} is not complete"))
}

/// Checks that a structure has the version 1.0.
pub(crate) fn check_version(version: u32, what: &str) -> Result<(), FormatError> {
    if version >> 16 == 1 {
        return Ok(());
    }
    Err(FormatError::Version(format!(
        "version {version:#010x} of the {what} is not supported; only 1.0 was ever published"
    )))
}

/// How far the copy at the start agrees with the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Byte for byte.
    Same,
    /// Only times, versions and flags differ.
    Nearly,
    /// They describe different disks.
    Different,
}

/// Compares a footer with its copy.
pub fn agreement(footer: &[u8], copy: &[u8]) -> Agreement {
    let length = footer.len().min(copy.len());
    let part = |bytes: &[u8], range: std::ops::Range<usize>| bytes.get(range).map(<[u8]>::to_vec);
    if footer.get(..length) == copy.get(..length) {
        Agreement::Same
    } else if VITAL.into_iter().chain([ID]).all(|range| part(footer, range.clone()) == part(copy, range)) {
        Agreement::Nearly
    } else {
        Agreement::Different
    }
}

/// The complement of the sum of all bytes, those of the checksum's own field at `at` counting as
/// zero.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let own = at..at + 4;
    let sum = bytes.iter().enumerate().filter(|(index, _)| !own.contains(index));
    !sum.fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}

/// Puts the checksum where it belongs.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    let sum = checksum(bytes, at).to_be_bytes();
    if let Some(field) = bytes.get_mut(at..at + 4) {
        field.copy_from_slice(&sum);
    }
}

/// An id as text: lower hex with dashes.
pub(crate) fn id_text(id: [u8; 16]) -> String {
    let parts = [&id[..4], &id[4..6], &id[6..8], &id[8..10], &id[10..]];
    parts.map(hex::encode).join("-")
}
