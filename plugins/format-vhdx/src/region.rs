//! The region tables: where metadata and BAT are ([MS-VHDX] 2.2.3). There are two copies; the first
//! that is right counts.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        wire::{le32, le64},
    },
    types::ByteRange,
};

use crate::{crc, guid::Guid, header::MIB, tables::Tables};

pub(crate) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
pub(crate) const REGION_TABLE_LENGTH: u64 = 64 << 10;
pub(crate) const BAT: Guid = Guid::new(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08);
pub(crate) const METADATA: Guid = Guid::new(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e);
const MAX_ENTRIES: u32 = 2047;

/// Where the regions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Regions {
    pub(crate) bat: ByteRange,
    pub(crate) metadata: ByteRange,
    /// All of them, unknown ones included, and the log.
    pub(crate) all: Vec<ByteRange>,
}

impl Regions {
    /// Reads the table and checks that nothing overlaps.
    pub(crate) fn read(tables: &Tables, log: ByteRange) -> Result<Self, FormatError> {
        let [first, second] = REGION_TABLES;
        let bytes = match valid_copy(tables, first)? {
            Some(bytes) => bytes,
            None => valid_copy(tables, second)?.ok_or_else(|| {
                FormatError::Checksum("neither region table has the right mark and checksum".to_owned())
            })?,
        };
        let count = le32(&bytes, 8).unwrap_or(0);
        if count > MAX_ENTRIES {
            return Err(FormatError::Table(format!("the region table has {count} entries")));
        }
        let (mut bat, mut metadata, mut all) = (None, None, Vec::new());
        let entries = bytes.get(16..).unwrap_or_default().chunks_exact(32);
        for entry in entries.take(usize::try_from(count).unwrap_or(0)) {
            let guid = Guid::read(entry, 0).unwrap_or(Guid::ZERO);
            let range = range_of(entry, guid, tables.size())?;
            let known = match guid {
                BAT => Some(&mut bat),
                METADATA => Some(&mut metadata),
                _ => None,
            };
            match known {
                Some(slot) if slot.is_some() => {
                    return Err(FormatError::Table(format!("the region {guid} is there twice")));
                }
                Some(slot) => *slot = Some(range),
                None if le32(entry, 28).unwrap_or(0) & 1 == 1 => {
                    return Err(FormatError::Feature(format!(
                        "the file has the unknown required region {guid}; convert the image with `Convert-VHD`"
                    )));
                }
                None => {}
            }
            all.push(range);
        }
        let (Some(bat), Some(metadata)) = (bat, metadata) else {
            return Err(FormatError::Table("the region table lacks the BAT or the metadata".to_owned()));
        };
        all.push(log);
        all.retain(|range| range.length > 0);
        all.sort_unstable();
        match all.array_windows().find(|[one, two]| one.offset + one.length > two.offset) {
            Some([one, two]) => Err(FormatError::Aliased(format!(
                "two of the regions and the log overlap: {:#x} and {:#x}",
                one.offset, two.offset
            ))),
            None => Ok(Self { bat, metadata, all }),
        }
    }
}

/// A copy of the table, unless mark or checksum are wrong.
pub(crate) fn valid_copy(tables: &Tables, at: u64) -> Result<Option<Vec<u8>>, FormatError> {
    let bytes = tables.read(at, REGION_TABLE_LENGTH)?;
    let valid = bytes.starts_with(b"regi") && le32(&bytes, 4) == Some(crc::of_structure(&bytes));
    Ok(valid.then_some(bytes))
}

fn range_of(entry: &[u8], guid: Guid, file: u64) -> Result<ByteRange, FormatError> {
    let (offset, length) = (le64(entry, 16).unwrap_or(0), u64::from(le32(entry, 24).unwrap_or(0)));
    if !offset.is_multiple_of(MIB) || !length.is_multiple_of(MIB) || offset < MIB || length == 0 {
        return Err(FormatError::Table(format!(
            "the region {guid} ({length} bytes at {offset:#x}) is not made of whole MiB behind the first"
        )));
    }
    match offset.checked_add(length) {
        Some(end) if end <= file => Ok(ByteRange { offset, length }),
        _ => Err(FormatError::Truncated(format!(
            "the region {guid} has {length} bytes at {offset:#x}, and the file ends at {file:#x}"
        ))),
    }
}
