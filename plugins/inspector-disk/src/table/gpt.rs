//! The partition table of UEFI (UEFI 2.10, 5.3).

use imprint_plugin_sdk::{error::Result, inspector::Partition};

use crate::{
    bytes::{corrupt, guid, is_at, le32, le64, to_u64, to_usize, utf16},
    window::Window,
};

/// The sizes of sectors that addresses may count.
const SECTORS: [u64; 2] = [512, 4096];
/// The mark of a header.
const MARK: &[u8] = b"EFI PART";
/// The bytes of a header that are looked at, and the most that it may have.
const HEADER: usize = 92;
const MAX_HEADER: usize = 512;
/// The most entries of a table, and the bytes that one may have. Tables have 128 of 128 bytes.
const MAX_ENTRIES: u32 = 1024;
const ENTRY_BYTES: std::ops::RangeInclusive<u32> = 128..=1024;
/// The attribute that makes a BIOS boot from a partition.
const LEGACY_BOOTABLE: u64 = 1 << 2;

/// Reads the table; `None` where there is none. The copy at the end of the disk is used where the
/// first one is damaged.
pub(super) fn read(disk: &Window) -> Result<Option<Vec<Partition>>> {
    let mut damaged = None;
    for sector in SECTORS {
        let last = (disk.length() / sector).saturating_sub(1);
        for address in [1, last] {
            match header(disk, sector, address) {
                Ok(None) => {}
                Ok(Some(header)) => match entries(disk, sector, &header) {
                    Ok(found) => return Ok(Some(found)),
                    Err(error) => {
                        damaged.get_or_insert(error);
                    }
                },
                Err(error) => {
                    damaged.get_or_insert(error);
                }
            }
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Returns the header at an address, checked by its own checksum; `None` where there is none.
fn header(disk: &Window, sector: u64, address: u64) -> Result<Option<Vec<u8>>> {
    let at = address.saturating_mul(sector);
    if at.saturating_add(to_u64(MAX_HEADER)) > disk.length() {
        return Ok(None);
    }
    let mut header = disk.bytes(at, MAX_HEADER)?;
    if !is_at(&header, 0, MARK) {
        return Ok(None);
    }
    let length = to_usize(le32(&header, 12));
    let stored = le32(&header, 16);
    if !(HEADER..=MAX_HEADER).contains(&length) {
        return Err(corrupt(format!("the header of the GPT says that it has {length} bytes")));
    }
    header.truncate(length);
    if let Some(checksum) = header.get_mut(16..20) {
        checksum.fill(0);
    }
    if crc32fast::hash(&header) != stored || le64(&header, 24) != address {
        return Err(corrupt("the header of the GPT has a wrong checksum, or is at another place"));
    }
    Ok(Some(header))
}

fn entries(disk: &Window, sector: u64, header: &[u8]) -> Result<Vec<Partition>> {
    let (count, bytes) = (le32(header, 80), le32(header, 84));
    if count > MAX_ENTRIES || !ENTRY_BYTES.contains(&bytes) {
        return Err(corrupt(format!("the GPT says that it has {count} entries of {bytes} bytes")));
    }
    let at = le64(header, 72).checked_mul(sector);
    let at = at.ok_or_else(|| corrupt("the entries of the GPT are behind the end of any disk"))?;
    let table = disk.bytes(at, to_usize(count).saturating_mul(to_usize(bytes)))?;
    if crc32fast::hash(&table) != le32(header, 88) {
        return Err(corrupt("the entries of the GPT have a wrong checksum"));
    }
    let numbered = (1_u32..).zip(table.chunks_exact(to_usize(bytes)));
    Ok(numbered.filter_map(|(number, entry)| partition(number, entry, sector)).collect())
}

fn partition(number: u32, entry: &[u8], sector: u64) -> Option<Partition> {
    if entry.get(..16)?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    let length = last.checked_sub(first).and_then(|count| count.checked_add(1)?.checked_mul(sector));
    Some(Partition {
        number,
        start: first.checked_mul(sector)?,
        length: length?,
        kind: guid(entry, 0),
        name: utf16(entry.get(56..128)?),
        bootable: le64(entry, 48) & LEGACY_BOOTABLE != 0,
    })
}
