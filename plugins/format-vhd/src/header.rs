//! The dynamic header: 1024 bytes that say where the block allocation table is, how large blocks
//! are, and who the parent is.
//!
//! Big endian: cookie `cxsparse`, table offset@16, version@24, entries@28, block size@32,
//! checksum@36, parent's id@40, parent's time@56, parent's name in UTF-16@64 (512 bytes), eight
//! locators of 24 bytes@576.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{array, be32, be64, round_up},
    },
    types::ByteRange,
};

use crate::{
    footer::{CONVERT, Damaged, check_version, checksum, cut_off, seal, wrong_checksum},
    geometry::SECTOR,
};

/// First eight bytes.
pub const COOKIE: &[u8; 8] = b"cxsparse";
/// Bytes of a header.
pub const LENGTH: u32 = 1024;
/// An entry of the table that has no block.
pub const NO_BLOCK: u32 = u32::MAX;

const CHECKSUM_AT: usize = 36;
const NAME: std::ops::Range<usize> = 64..576;
const LOCATORS: std::ops::Range<usize> = 576..768;
const LOCATOR: usize = 24;
/// Block sizes that are read.
const BLOCKS: std::ops::RangeInclusive<u32> = 512 << 10..=256 << 20;

/// Where the text of one platform's name of the parent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locator {
    /// `W2ku`, `W2ru`, `MacX`, ...
    pub platform: [u8; 4],
    /// Bytes of the text.
    pub length: u32,
    /// Where it begins in the file.
    pub offset: u64,
}

/// A dynamic header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the block allocation table is.
    pub table_offset: u64,
    /// Its entries.
    pub entries: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// The id of the layer that this one was made on; zeroes without one.
    pub parent_id: [u8; 16],
    /// Its name, in UTF-16.
    pub parent_name: Vec<u16>,
    /// Its names on platforms; only those that are used.
    pub locators: Vec<Locator>,
}

impl Header {
    /// Reads a header and checks what can be checked without the file.
    pub fn parse(bytes: &[u8], damaged: Damaged) -> Result<Self, FormatError> {
        if !bytes.starts_with(COOKIE) {
            return Err(FormatError::Header(
                "there is no dynamic header where the footer says it is".to_owned(),
            ));
        }
        if Some(checksum(bytes, CHECKSUM_AT)) != be32(bytes, CHECKSUM_AT) && damaged == Damaged::Refuse {
            return Err(wrong_checksum("dynamic header"));
        }
        let word = |at| be32(bytes, at).ok_or_else(|| cut_off("dynamic header"));
        check_version(word(24)?, "dynamic header")?;
        let header = Self {
            table_offset: be64(bytes, 16).ok_or_else(|| cut_off("dynamic header"))?,
            entries: word(28)?,
            block_size: word(32)?,
            parent_id: array(bytes, 40).unwrap_or_default(),
            parent_name: name(bytes.get(NAME).unwrap_or_default()),
            locators: bytes.get(LOCATORS).unwrap_or_default().chunks(LOCATOR).filter_map(locator).collect(),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), FormatError> {
        let size = self.block_size;
        if !size.is_power_of_two() || u64::from(size) < SECTOR {
            return Err(FormatError::Header(format!("a block size of {size} bytes is impossible")));
        }
        if !BLOCKS.contains(&size) {
            return Err(FormatError::Feature(format!(
                "blocks of {size} bytes are not supported, only those of 512 KiB to 256 MiB; {CONVERT}"
            )));
        }
        if !self.table_offset.is_multiple_of(SECTOR) {
            return Err(FormatError::Header(format!(
                "the block allocation table at {:#x} does not begin at a sector",
                self.table_offset
            )));
        }
        Ok(())
    }

    /// Where the block allocation table is, whole sectors.
    pub fn table(&self) -> ByteRange {
        ByteRange { offset: self.table_offset, length: round_up(u64::from(self.entries) * 4, SECTOR) }
    }

    /// Bytes of the sector bitmap in front of each block.
    pub fn bitmap_size(&self) -> u64 {
        bitmap_size(self.block_size)
    }

    /// The 1024 bytes of a header without a parent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = COOKIE.to_vec();
        // Where nothing more follows.
        bytes.extend([0xff; 8]);
        bytes.extend(self.table_offset.to_be_bytes());
        [0x0001_0000, self.entries, self.block_size].iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        bytes.resize(usize::try_from(LENGTH).expect("it is 1024"), 0);
        seal(&mut bytes, CHECKSUM_AT);
        bytes
    }
}

/// Bytes of a sector bitmap: a bit a sector, whole sectors.
pub(crate) fn bitmap_size(block_size: u32) -> u64 {
    round_up((u64::from(block_size) / SECTOR).div_ceil(8), SECTOR)
}

fn name(bytes: &[u8]) -> Vec<u16> {
    let (units, _) = bytes.as_chunks();
    units.iter().map(|unit| u16::from_be_bytes(*unit)).take_while(|unit| *unit != 0).collect()
}

fn locator(bytes: &[u8]) -> Option<Locator> {
    let platform: [u8; 4] = array(bytes, 0)?;
    let (length, offset) = (be32(bytes, 8)?, be64(bytes, 16)?);
    (platform != [0; 4] && length > 0).then_some(Locator { platform, length, offset })
}
