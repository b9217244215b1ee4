//! The layout of a new file: dynamic, blocks of 1 MiB, the same bytes for the same placements.
//!
//! ```text
//! header | map | up to 1 MiB: nothing | blocks in ascending order
//! ```
//!
//! The map is written before the header, so that a file whose writing was interrupted is no image.
//! There are no times; the uuids follow from the size of the disk, so that the same disk makes the
//! same file.

use std::ops::Range;

use imprint_plugin_sdk::{
    error::Result,
    format::{self, BlockPlaces, CreateRequest, FormatError, MetadataPage, Placed, Rules, page_of_parts},
    types::ByteRange,
};

use crate::{
    header::{MAX_BLOCKS, SECTOR, SIGNATURE, VERSION},
    map::{encode, to_count},
};

/// The only block size that every reader knows.
const BLOCK: u32 = 1 << 20;
/// The map follows the header.
const MAP_OFFSET: u32 = 512;
/// Up to the end of the parent's uuid, from the field itself on.
const HEADER_SIZE: u32 = 0x180;
const TEXT: &[u8] = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
const OPTIONS: &str = "the only option is `compress`, which is `none`";

/// The layout of a file being written.
///
/// Memory: at most 8 MiB, and 16 bytes wherever the payload is not in the order of the disk (at
/// most 16 MiB).
pub struct Layout {
    virtual_size: u64,
    data_offset: u32,
    places: BlockPlaces,
}

impl Layout {
    /// Checks the request and decides where payload begins.
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, FormatError> {
        let virtual_size = request.virtual_size;
        if !virtual_size.is_multiple_of(SECTOR) {
            return Err(FormatError::Request(format!(
                "the disk size of {virtual_size} bytes is no multiple of {SECTOR}; round it up"
            )));
        }
        match request.subformat.as_deref() {
            None | Some("dynamic") => {}
            Some(other) => {
                return Err(FormatError::Unsupported(format!(
                    "VDI images are written as `dynamic`, not as {other:?}; leave the subformat out"
                )));
            }
        }
        if request.parent.is_some() {
            return Err(FormatError::Unsupported(
                "this writer makes images without a parent; flatten the chain".to_owned(),
            ));
        }
        for (key, value) in &request.options {
            if (key.as_str(), value.as_str()) != ("compress", "none") {
                return Err(FormatError::Unsupported(format!(
                    "VDI does not have the option `{key}` = {value:?}; {OPTIONS}"
                )));
            }
        }
        let blocks = virtual_size.div_ceil(BLOCK.into());
        if blocks > u64::from(MAX_BLOCKS) {
            return Err(FormatError::VirtualSize(format!(
                "a disk of {virtual_size} bytes is larger than the {MAX_BLOCKS} blocks of 1 MiB that a map can have"
            )));
        }
        let map = to_count(blocks) * 4;
        let data_offset = (MAP_OFFSET + map).next_multiple_of(BLOCK);
        let places = BlockPlaces::new(virtual_size, BLOCK.into(), data_offset.into(), BLOCK.into())?;
        Ok(Self { virtual_size, data_offset, places })
    }

    /// Whole pairs of entries: pages are cut at 8 bytes.
    fn map_length(&self) -> u64 {
        (self.places.blocks() * 4).next_multiple_of(8)
    }

    fn map(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = usize::try_from(range.end - range.start).expect("a page is at most 1 MiB");
        let entries = self.places.places(range.start / 4).take(length / 4).map(|place| {
            let block = place.map(|place| (place - u64::from(self.data_offset)) / u64::from(BLOCK));
            encode(block.map(to_count))
        });
        let mut bytes: Vec<u8> = entries.flatten().collect();
        // The odd entry behind the last one.
        bytes.resize(length, 0);
        Ok(bytes)
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![0; usize::try_from(MAP_OFFSET).expect("512")];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, TEXT);
        let fields = [
            (0x40, SIGNATURE),
            (0x44, VERSION),
            (0x48, HEADER_SIZE),
            // Dynamic.
            (0x4c, 1),
            (0x154, MAP_OFFSET),
            (0x158, self.data_offset),
            (0x168, u32::try_from(SECTOR).expect("512")),
            (0x178, BLOCK),
            (0x180, to_count(self.places.blocks())),
            (0x184, to_count(self.places.stored())),
        ];
        for (at, value) in fields {
            put(at, &value.to_le_bytes());
        }
        put(0x170, &self.virtual_size.to_le_bytes());
        put(0x188, &uuid(self.virtual_size, 1));
        put(0x198, &uuid(self.virtual_size, 2));
        header
    }
}

impl format::Layout for Layout {
    /// Whole blocks, one behind the other.
    fn rules(&mut self) -> Rules {
        Rules { ascending: true, ..Rules::units(self.data_offset.into(), BLOCK) }
    }

    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        self.places.placed(runs)
    }

    /// Returns a page of map and header; `start` is the `resume` of the page before.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        let map = ByteRange { offset: MAP_OFFSET.into(), length: self.map_length() };
        let header = ByteRange { offset: 0, length: MAP_OFFSET.into() };
        let end = end.max(self.places.end()).max(self.data_offset.into());
        page_of_parts(&[map, header], start, max_bytes, end, |part, range| match part {
            0 => self.map(range),
            _ => Ok(slice(&self.header(), range)),
        })
    }
}

fn slice(bytes: &[u8], range: Range<u64>) -> Vec<u8> {
    let place = |at: u64| usize::try_from(at).expect("a header is 512 bytes");
    bytes[place(range.start)..place(range.end)].to_vec()
}

/// A uuid of version 8 (RFC 9562: free use) that follows from the size; `which` tells the two of a
/// file apart.
fn uuid(virtual_size: u64, which: u64) -> [u8; 16] {
    // The finalizer of MurmurHash3: every bit of the size changes half of the result.
    let mix = |mut value: u64| {
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
            value = (value ^ value >> 33).wrapping_mul(factor);
        }
        value ^ value >> 33
    };
    let low = mix(virtual_size ^ which << 60);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&mix(low ^ 0x5644_4920).to_le_bytes());
    bytes[7] = bytes[7] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}
