//! The metadata items: sizes, and the parent ([MS-VHDX] 2.6).

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{le16, le32, le64},
    },
    types::ByteRange,
};

use crate::{
    guid::Guid,
    locator::Locator,
    tables::{MAX_READ, Tables},
};

pub(crate) const TABLE_LENGTH: u64 = 64 << 10;
pub(crate) const FILE_PARAMETERS: Guid = Guid::new(0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b);
pub(crate) const DISK_SIZE: Guid = Guid::new(0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8);
pub(crate) const DISK_ID: Guid = Guid::new(0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746);
pub(crate) const LOGICAL_SECTOR: Guid = Guid::new(0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f);
pub(crate) const PHYSICAL_SECTOR: Guid = Guid::new(0xcda3_48c7_445d_4471_9cc9_e988_5251_c556);
pub(crate) const PARENT_LOCATOR: Guid = Guid::new(0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c);
pub(crate) const MIN_BLOCK: u64 = 1 << 20;
pub(crate) const MAX_BLOCK: u64 = 256 << 20;
pub(crate) const MAX_DISK: u64 = 64 << 40;
const MAX_ENTRIES: u16 = 2047;
const CONVERT: &str = "convert the image with `Convert-VHD`";
const IS_USER: u32 = 1;
const IS_REQUIRED: u32 = 4;

/// What the items say, checked.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) virtual_size: u64,
    /// Bytes of a payload block.
    pub(crate) block: u64,
    /// 512 or 4096.
    pub(crate) logical_sector: u64,
    /// 512 or 4096, where the file says so.
    pub(crate) physical_sector: Option<u32>,
    /// Blocks stay where they are even when they are empty.
    pub(crate) fixed: bool,
    pub(crate) parent: Option<Locator>,
}

/// One item of the table.
struct Item {
    id: Guid,
    place: ByteRange,
}

impl Metadata {
    /// Reads the table and the items.
    pub(crate) fn read(tables: &Tables, region: ByteRange) -> Result<Self, FormatError> {
        let items = items(tables, region)?;
        let find = |id: Guid, what: &str, length: u64| {
            let place = items.iter().find(|item| item.id == id).map(|item| item.place);
            let place = place.ok_or_else(|| FormatError::Table(format!("the metadata lacks the {what}")))?;
            if place.length < length {
                return Err(FormatError::Table(format!("the {what} has {} bytes", place.length)));
            }
            tables.read(place.offset, length)
        };
        let parameters = find(FILE_PARAMETERS, "file parameters", 8)?;
        let (block, flags) =
            (u64::from(le32(&parameters, 0).unwrap_or(0)), le32(&parameters, 4).unwrap_or(0));
        if !block.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block) {
            return Err(FormatError::Header(format!(
                "the block size is {block}, where powers of two from 1 MiB to 256 MiB are possible"
            )));
        }
        if flags & !3 != 0 {
            return Err(FormatError::Feature(format!(
                "the file parameters have unknown flags ({flags:#x}); {CONVERT}"
            )));
        }
        let sector = |bytes: &[u8], what: &str| match le32(bytes, 0).unwrap_or(0) {
            size @ (512 | 4096) => Ok(size),
            other => {
                Err(FormatError::Header(format!("the {what} is {other}, where 512 and 4096 are possible")))
            }
        };
        let logical = sector(&find(LOGICAL_SECTOR, "logical sector size", 4)?, "logical sector size")?;
        let has_physical = items.iter().any(|item| item.id == PHYSICAL_SECTOR);
        let physical_sector = if has_physical {
            Some(sector(&find(PHYSICAL_SECTOR, "physical sector size", 4)?, "physical sector size")?)
        } else {
            None
        };
        let virtual_size = le64(&find(DISK_SIZE, "disk size", 8)?, 0).unwrap_or(0);
        check_size(virtual_size, logical.into())?;
        let locator = items.iter().find(|item| item.id == PARENT_LOCATOR);
        let parent = match (flags & 2 != 0, locator) {
            (true, Some(item)) => Some(Locator::parse(&tables.read(item.place.offset, item.place.length)?)?),
            (false, None) => None,
            (has_parent, _) => {
                let text = if has_parent { "has a parent and no" } else { "has no parent and a" };
                return Err(FormatError::Table(format!("the image {text} parent locator")));
            }
        };
        let fixed = flags & 1 != 0;
        Ok(Self { virtual_size, block, logical_sector: logical.into(), physical_sector, fixed, parent })
    }
}

fn check_size(virtual_size: u64, sector: u64) -> Result<(), FormatError> {
    if virtual_size > MAX_DISK {
        return Err(FormatError::VirtualSize(format!(
            "the virtual size of {virtual_size} bytes is more than the 64 TiB of the format; the file is forged"
        )));
    }
    if !virtual_size.is_multiple_of(sector) {
        return Err(FormatError::Header(format!(
            "the virtual size of {virtual_size} bytes is not made of whole sectors of {sector} bytes"
        )));
    }
    Ok(())
}

/// The table's items: inside of the region, behind the table, apart from each other, none unknown
/// that must be known.
fn items(tables: &Tables, region: ByteRange) -> Result<Vec<Item>, FormatError> {
    let bytes = tables.read(region.offset, TABLE_LENGTH)?;
    if !bytes.starts_with(b"metadata") {
        return Err(FormatError::Table("the metadata region does not start with its mark".to_owned()));
    }
    let count = le16(&bytes, 10).unwrap_or(0);
    if count > MAX_ENTRIES {
        return Err(FormatError::Table(format!("the metadata table has {count} entries")));
    }
    let mut items = Vec::new();
    for entry in bytes.get(32..).unwrap_or_default().chunks_exact(32).take(count.into()) {
        let id = Guid::read(entry, 0).unwrap_or(Guid::ZERO);
        let flags = le32(entry, 24).unwrap_or(0);
        let place = place_of(entry, id, region)?;
        let known = [FILE_PARAMETERS, DISK_SIZE, DISK_ID, LOGICAL_SECTOR, PHYSICAL_SECTOR, PARENT_LOCATOR];
        if flags & IS_USER == 0 && known.contains(&id) {
            if items.iter().any(|item: &Item| item.id == id) {
                return Err(FormatError::Table(format!("the metadata item {id} is there twice")));
            }
        } else if flags & IS_REQUIRED != 0 {
            return Err(FormatError::Feature(format!(
                "the file has the unknown required metadata item {id}; {CONVERT}"
            )));
        }
        // What is not known, or what a user put there, is only kept for finding overlaps.
        let id = if flags & IS_USER == 0 { id } else { Guid::ZERO };
        items.push(Item { id, place });
    }
    items.sort_unstable_by_key(|item| item.place);
    let stored: Vec<_> = items.iter().map(|item| item.place).filter(|place| place.length > 0).collect();
    match stored.array_windows().find(|[one, two]| one.offset + one.length > two.offset) {
        Some(_) => Err(FormatError::Aliased("two metadata items overlap".to_owned())),
        None => Ok(items),
    }
}

fn place_of(entry: &[u8], id: Guid, region: ByteRange) -> Result<ByteRange, FormatError> {
    let (offset, length) = (u64::from(le32(entry, 16).unwrap_or(0)), u64::from(le32(entry, 20).unwrap_or(0)));
    let empty = length == 0 && offset == 0;
    if !empty && (offset < TABLE_LENGTH || offset + length > region.length || length > MAX_READ) {
        return Err(FormatError::Table(format!(
            "the metadata item {id} ({length} bytes at {offset:#x}) is outside of its region"
        )));
    }
    Ok(ByteRange { offset: region.offset + offset, length })
}
