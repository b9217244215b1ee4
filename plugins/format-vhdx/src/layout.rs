//! The layout of a new file: dynamic, the same bytes for the same placements.
//!
//! ```text
//! 0      mark, two headers, two region tables
//! 1 MiB  log, empty
//! 2 MiB  metadata
//! 3 MiB  BAT, in whole MiB
//!        blocks in ascending order
//! ```
//!
//! Written in this order: BAT, metadata, region tables, headers, and the mark last, so that a file
//! whose writing was interrupted is no image. There are no times; the GUIDs follow from size, block
//! and sector, so that the same disk makes the same file.

use std::ops::Range;

use imprint_plugin_sdk::{
    error::Result,
    format::{self, BlockPlaces, CreateRequest, FormatError, MetadataPage, Placed, Rules, page_of_parts},
    types::{ByteRange, Props},
};

use crate::{
    bat::Shape,
    crc,
    guid::Guid,
    header::{HEADER_LENGTH, HEADERS, MARK, MIB},
    metadata::{
        DISK_ID, DISK_SIZE, FILE_PARAMETERS, LOGICAL_SECTOR, MAX_DISK, MIN_BLOCK, PHYSICAL_SECTOR,
        TABLE_LENGTH,
    },
    region::{BAT, METADATA, REGION_TABLE_LENGTH, REGION_TABLES},
};

const LOG: ByteRange = ByteRange { offset: MIB, length: MIB };
const METADATA_PLACE: ByteRange = ByteRange { offset: 2 * MIB, length: MIB };
const BAT_OFFSET: u64 = 3 * MIB;
/// What of the metadata region is written; the rest is zeroes.
const METADATA_BYTES: u64 = TABLE_LENGTH + 4096;
const MARK_BYTES: u64 = 4096;
const CREATOR: &str = "Imprint";
/// Blocks of a disk before larger ones are chosen: a BAT of 8 MiB.
const PREFERRED_BLOCKS: u64 = 1 << 20;
/// The largest block that is written: the host places units up to this size, and Hyper-V makes
/// blocks of it.
const LARGEST_BLOCK: u64 = 32 << 20;
const PHYSICAL: u32 = 4096;
/// Block present.
const STATE_FULL: u64 = 6;
const OPTIONS: &str = "options are `block-size`, `sector-size`, and `compress`, which is `none`";

/// The layout of a file being written.
///
/// Memory: at most 8 MiB, and 16 bytes wherever the payload is not in the order of the disk (at
/// most 16 MiB).
pub struct Layout {
    shape: Shape,
    places: BlockPlaces,
}

impl Layout {
    /// Checks the request and decides where payload begins.
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, FormatError> {
        match request.subformat.as_deref() {
            None | Some("dynamic") => {}
            Some(other) => {
                return Err(FormatError::Unsupported(format!(
                    "VHDX images are written as `dynamic`, not as {other:?}; leave the subformat out"
                )));
            }
        }
        if request.parent.is_some() {
            return Err(FormatError::Unsupported(
                "this writer makes images without a parent; flatten the chain".to_owned(),
            ));
        }
        let virtual_size = request.virtual_size;
        let (block, sector) = read_options(&request.options, virtual_size)?;
        if virtual_size == 0 || !virtual_size.is_multiple_of(sector) {
            return Err(FormatError::Request(format!(
                "the disk size of {virtual_size} bytes is not one or more sectors of {sector} bytes; round it up"
            )));
        }
        if virtual_size > MAX_DISK {
            return Err(FormatError::VirtualSize(format!(
                "a disk of {virtual_size} bytes is larger than the 64 TiB that VHDX can have"
            )));
        }
        let place = ByteRange { offset: BAT_OFFSET, length: 0 };
        let mut shape = Shape { place, virtual_size, block, sector, differencing: false };
        shape.place.length = (shape.entries() * 8).next_multiple_of(MIB);
        let places = BlockPlaces::new(virtual_size, block, BAT_OFFSET + shape.place.length, MIB)?;
        Ok(Self { shape, places })
    }

    fn data_start(&self) -> u64 {
        BAT_OFFSET + self.shape.place.length
    }

    fn bat(&self, range: Range<u64>) -> Vec<u8> {
        let stride = self.shape.chunk_ratio() + 1;
        let first = range.start / 8;
        let mut places = self.places.places(first - first / stride);
        let entries = (first..range.end / 8).map(|index| {
            let place = if index % stride == stride - 1 { None } else { places.next().flatten() };
            place.map_or(0, |place| place | STATE_FULL)
        });
        entries.flat_map(u64::to_le_bytes).collect()
    }

    /// The table of items and the items ([MS-VHDX] 2.6). All are of the disk but the first, and all
    /// are required.
    fn metadata_region(&self) -> Vec<u8> {
        let block = u32::try_from(self.shape.block).expect("at most 256 MiB");
        let sector = u32::try_from(self.shape.sector).expect("512 or 4096");
        let items = [
            (FILE_PARAMETERS, 4_u32, u64::from(block).to_le_bytes().to_vec()),
            (DISK_SIZE, 6, self.shape.virtual_size.to_le_bytes().to_vec()),
            (DISK_ID, 6, self.guid(3).0.to_vec()),
            (LOGICAL_SECTOR, 6, sector.to_le_bytes().to_vec()),
            (PHYSICAL_SECTOR, 6, PHYSICAL.to_le_bytes().to_vec()),
        ];
        let mut bytes = zeroes(METADATA_BYTES);
        put(&mut bytes, 0, b"metadata");
        put(&mut bytes, 10, &[5, 0]);
        let mut at = u32::try_from(TABLE_LENGTH).expect("64 KiB");
        for (index, (id, flags, item)) in (1_u64..).zip(items) {
            let length = u32::try_from(item.len()).expect("at most 16");
            put(&mut bytes, index * 32, &id.0);
            for (offset, word) in [(16, at), (20, length), (24, flags)] {
                put(&mut bytes, index * 32 + offset, &word.to_le_bytes());
            }
            put(&mut bytes, at.into(), &item);
            at += length;
        }
        bytes
    }

    fn region_table(&self) -> Vec<u8> {
        let mut bytes = zeroes(REGION_TABLE_LENGTH);
        put(&mut bytes, 0, b"regi");
        put(&mut bytes, 8, &2_u32.to_le_bytes());
        for (at, id, place) in [(16, BAT, self.shape.place), (48, METADATA, METADATA_PLACE)] {
            let length =
                u32::try_from(place.length).expect("a BAT has at most 8 bytes for each of 2^26 blocks");
            put(&mut bytes, at, &id.0);
            put(&mut bytes, at + 16, &place.offset.to_le_bytes());
            put(&mut bytes, at + 24, &length.to_le_bytes());
            put(&mut bytes, at + 28, &1_u32.to_le_bytes());
        }
        sealed(bytes)
    }

    /// A header whose log is empty.
    fn header(&self, sequence: u64) -> Vec<u8> {
        let mut bytes = zeroes(HEADER_LENGTH);
        put(&mut bytes, 0, b"head");
        put(&mut bytes, 8, &sequence.to_le_bytes());
        put(&mut bytes, 16, &self.guid(1).0);
        put(&mut bytes, 32, &self.guid(2).0);
        put(&mut bytes, 66, &1_u16.to_le_bytes());
        put(&mut bytes, 68, &u32::try_from(LOG.length).expect("1 MiB").to_le_bytes());
        put(&mut bytes, 72, &LOG.offset.to_le_bytes());
        sealed(bytes)
    }

    /// A GUID of version 8 (RFC 9562: free use) that follows from the sizes; `which` tells those of
    /// a file apart.
    fn guid(&self, which: u64) -> Guid {
        // The finalizer of MurmurHash3: every bit of the input changes half of the result.
        let mix = |mut value: u64| {
            for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
                value = (value ^ value >> 33).wrapping_mul(factor);
            }
            value ^ value >> 33
        };
        let low = mix(self.shape.virtual_size ^ which << 60);
        let high = mix(low ^ self.shape.block << 16 ^ self.shape.sector);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        bytes[7] = bytes[7] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Guid(bytes)
    }
}

impl format::Layout for Layout {
    /// Whole blocks at whole MiB.
    fn rules(&mut self) -> Rules {
        let unit = u32::try_from(self.shape.block).expect("at most 256 MiB");
        let align = u32::try_from(MIB).expect("1 MiB");
        Rules { ascending: true, align, ..Rules::units(self.data_start(), unit) }
    }

    /// Takes the next placements, in ascending virtual order.
    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        self.places.placed(runs)
    }

    /// A page of the tables, at most `max_bytes`; `start` is the `resume` of the page before.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        let part = |offset, length| ByteRange { offset, length };
        let parts = [
            part(BAT_OFFSET, self.shape.entries() * 8),
            part(METADATA_PLACE.offset, METADATA_BYTES),
            part(REGION_TABLES[1], REGION_TABLE_LENGTH),
            part(REGION_TABLES[0], REGION_TABLE_LENGTH),
            part(HEADERS[1], HEADER_LENGTH),
            part(HEADERS[0], HEADER_LENGTH),
            part(0, MARK_BYTES),
        ];
        let end = end.max(self.places.end()).max(self.data_start()).next_multiple_of(MIB);
        page_of_parts(&parts, start, max_bytes, end, |part, range| {
            let whole = match part {
                0 => return Ok(self.bat(range)),
                1 => self.metadata_region(),
                2 | 3 => self.region_table(),
                4 => self.header(1),
                5 => self.header(2),
                _ => mark(),
            };
            Ok(slice(&whole, range))
        })
    }
}

/// Block and sector.
fn read_options(options: &Props, virtual_size: u64) -> Result<(u64, u64), FormatError> {
    let preferred =
        virtual_size.div_ceil(PREFERRED_BLOCKS).checked_next_power_of_two().unwrap_or(LARGEST_BLOCK);
    let (mut block, mut sector) = (preferred.clamp(MIN_BLOCK, LARGEST_BLOCK), 512);
    for (key, value) in options {
        match (key.as_str(), value.as_str()) {
            ("compress", "none") | ("sector-size", "512") => {}
            ("sector-size", "4096") => sector = 4096,
            ("block-size", text) => {
                let size = text.parse().ok();
                let size = size.filter(|size: &u64| {
                    size.is_power_of_two() && (MIN_BLOCK..=LARGEST_BLOCK).contains(size)
                });
                block = size.ok_or_else(|| {
                    FormatError::Request(format!(
                        "`block-size` is a power of two from {MIN_BLOCK} to {LARGEST_BLOCK}, in bytes, not {text:?}"
                    ))
                })?;
            }
            ("sector-size", text) => {
                return Err(FormatError::Request(format!("`sector-size` is 512 or 4096, not {text:?}")));
            }
            (key, value) => {
                return Err(FormatError::Unsupported(format!(
                    "VHDX does not have `{key}` = {value:?}; {OPTIONS}"
                )));
            }
        }
    }
    Ok((block, sector))
}

fn mark() -> Vec<u8> {
    let mut bytes = zeroes(MARK_BYTES);
    put(&mut bytes, 0, MARK);
    let creator: Vec<u8> = CREATOR.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut bytes, 8, &creator);
    bytes
}

/// A structure with its checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc::of_structure(&bytes);
    put(&mut bytes, 4, &crc.to_le_bytes());
    bytes
}

fn zeroes(length: u64) -> Vec<u8> {
    vec![0; place(length)]
}

fn put(bytes: &mut [u8], at: u64, value: &[u8]) {
    bytes[place(at)..place(at) + value.len()].copy_from_slice(value);
}

fn slice(bytes: &[u8], range: Range<u64>) -> Vec<u8> {
    bytes[place(range.start)..place(range.end)].to_vec()
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("a structure has at most 68 KiB")
}
