//! What is asked for, checked, and the sizes that follow from it.

use imprint_plugin_sdk::format::{CreateRequest, FormatError, wire::round_up};

use crate::{
    footer::{Footer, Kind},
    geometry::{Geometry, MAX_DISK, SECTOR},
};

const DEFAULT_BLOCK: u32 = 2 << 20;
/// Block sizes that are written: those whose bitmap is one sector.
const BLOCKS: [u32; 3] = [512 << 10, 1 << 20, 2 << 20];
/// Entries of the table are 32-bit sector numbers.
const MAX_FILE: u64 = (1 << 32) * SECTOR;
const MAX_ALIGN: u64 = 1 << 30;
/// What a block takes besides its payload: bitmap and padding.
const BLOCK_OVERHEAD: u64 = 4096;
/// What a file takes besides its blocks, at most: footers, header, and a table of 16 MiB.
const FILE_OVERHEAD: u64 = (16 << 20) + 4096;
/// The options that there are.
const OPTIONS: [&str; 4] = ["align", "block-size", "compress", "force-size"];

/// A new disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// As the footer will state it, in bytes.
    pub(super) virtual_size: u64,
    /// `None` for a fixed disk.
    pub(super) block_size: Option<u32>,
    /// The size is exact, whatever geometry it would have.
    force_size: bool,
    geometry: Geometry,
}

impl Plan {
    pub(super) fn new(request: &CreateRequest) -> Result<Self, FormatError> {
        let option = |key: &str| request.options.get(key).map(String::as_str);
        if let Some(unknown) = request.options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            let text = format!("vhd has no option `{unknown}`; it has {}", OPTIONS.join(", "));
            return Err(FormatError::Unsupported(text));
        }
        if request.parent.is_some() {
            return Err(FormatError::Unsupported(
                "this writer makes images without a parent; flatten the chain".to_owned(),
            ));
        }
        match option("compress") {
            None | Some("none") => {}
            Some(other) => {
                return Err(FormatError::Unsupported(format!(
                    "a VHD is never compressed; `compress` is `none`, not {other:?}"
                )));
            }
        }
        let block_size = match request.subformat.as_deref() {
            None | Some("dynamic") => Some(option("block-size").map_or(Ok(DEFAULT_BLOCK), block_size)?),
            Some("fixed") if option("block-size").is_some() => {
                return Err(FormatError::Unsupported(
                    "a fixed VHD has no blocks; leave `block-size` out".to_owned(),
                ));
            }
            Some("fixed") => None,
            Some(other) => {
                return Err(FormatError::Unsupported(format!(
                    "vhd has the subformats dynamic and fixed, not {other:?}"
                )));
            }
        };
        let force_size = match option("force-size") {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                return Err(FormatError::Request(format!(
                    "`force-size` is `true` or `false`, not {other:?}"
                )));
            }
        };
        let align = option("align").map_or(Ok(SECTOR), align)?;
        if align > SECTOR && !force_size {
            return Err(FormatError::Unsupported(
                "`align` needs the exact size; leave `force-size` out".to_owned(),
            ));
        }
        let (virtual_size, geometry) = size(request.virtual_size, align, force_size)?;
        if let Some(block) = block_size.map(u64::from) {
            let blocks = virtual_size.div_ceil(block);
            let most = blocks.saturating_mul(block + BLOCK_OVERHEAD) + FILE_OVERHEAD;
            if most > MAX_FILE {
                return Err(FormatError::VirtualSize(format!(
                    "a full disk of {virtual_size} bytes in blocks of {block} does not fit into the 2 TiB that a VHD may have; leave `block-size` out"
                )));
            }
        }
        Ok(Self { virtual_size, block_size, force_size, geometry })
    }

    /// The footer, for a header at `header_offset`.
    pub(super) fn footer(&self, header_offset: u64) -> Footer {
        let (kind, header_offset) = match self.block_size {
            Some(_) => (Kind::Dynamic, header_offset),
            None => (Kind::Fixed, u64::MAX),
        };
        Footer {
            kind,
            header_offset,
            // By these names, readers know which of the two sizes is meant.
            creator: if self.force_size { *b"qem2" } else { *b"qemu" },
            current_size: self.virtual_size,
            geometry: self.geometry,
            id: self.id(),
            saved_state: false,
        }
    }

    /// An id that is the same for the same request: a version 8 UUID (RFC 9562) of the parameters.
    fn id(&self) -> [u8; 16] {
        let block = u64::from(self.block_size.unwrap_or(0));
        let words = [self.virtual_size, block, u64::from(self.force_size)];
        let half = |basis: u64| {
            words.iter().flat_map(|word| word.to_be_bytes()).fold(basis, |hash, byte| {
                // FNV-1a.
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let (high, low) = (half(0xcbf2_9ce4_8422_2325), half(0x6c62_272e_07bb_0142));
        let high = high & !0xf000 | 0x8000;
        let low = low & !(3 << 62) | 2 << 62;
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

/// The size that the disk will have, and the geometry that states it.
fn size(asked: u64, align: u64, force_size: bool) -> Result<(u64, Geometry), FormatError> {
    let exact = round_up(asked, align);
    let too_large = exact > MAX_DISK;
    if too_large {
        return Err(FormatError::VirtualSize(format!(
            "the disk has {asked} bytes, and a VHD has at most {MAX_DISK} (2040 GiB); choose vhdx or qcow2"
        )));
    }
    if !asked.is_multiple_of(SECTOR) {
        return Err(FormatError::Request(format!(
            "the disk size of {asked} bytes is no multiple of {SECTOR}; round it up"
        )));
    }
    let geometry = Geometry::holding(exact);
    if force_size || geometry == Geometry::MAXIMAL {
        Ok((exact, Geometry::MAXIMAL))
    } else {
        Ok((geometry.size(), geometry))
    }
}

fn block_size(text: &str) -> Result<u32, FormatError> {
    bytes(text)
        .and_then(|size| u32::try_from(size).ok())
        .filter(|size| BLOCKS.contains(size))
        .ok_or_else(|| FormatError::Request(format!("`block-size` is 512KiB, 1MiB or 2MiB, not {text:?}")))
}

fn align(text: &str) -> Result<u64, FormatError> {
    bytes(text).filter(|align| align.is_power_of_two() && (SECTOR..=MAX_ALIGN).contains(align)).ok_or_else(
        || {
            FormatError::Request(format!(
                "`align` is a power of two from 512 to 1GiB, such as 1MiB, not {text:?}"
            ))
        },
    )
}

/// A number of bytes, with or without a unit.
fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let with = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (digits, shift) = with.unwrap_or((text, 0));
    digits.trim_end().parse::<u64>().ok()?.checked_mul(1 << shift)
}
