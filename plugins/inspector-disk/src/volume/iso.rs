//! Optical discs: ISO 9660 (ECMA-119), UDF (ECMA-167) by its mark, and how a machine starts from
//! them (El Torito).

use imprint_plugin_sdk::error::Result;

use super::{Content, Volume};
use crate::{
    bytes::{byte, clean, is_at, le16, le32, text},
    window::Window,
};

/// The bytes of a sector, and where the first descriptor is.
const SECTOR: usize = 2048;
const DESCRIPTORS: usize = 16 * SECTOR;
/// The most descriptors that are looked at.
const MAX_DESCRIPTORS: usize = 16;
/// The platform of a boot entry that is for UEFI.
const UEFI: u8 = 0xef;
/// The most entries of a boot catalogue that are looked at.
const MAX_ENTRIES: usize = 64;

/// Recognises an optical disc.
pub(super) fn recognise(window: &Window, head: &[u8]) -> Option<Volume> {
    let descriptors = head.get(DESCRIPTORS..)?;
    let mut primary = None;
    let mut boot = None;
    let mut udf = false;
    for descriptor in descriptors.chunks_exact(SECTOR).take(MAX_DESCRIPTORS) {
        if is_at(descriptor, 1, b"NSR02") || is_at(descriptor, 1, b"NSR03") {
            udf = true;
        } else if is_at(descriptor, 1, b"CD001") {
            match byte(descriptor, 0) {
                0 if is_at(descriptor, 7, b"EL TORITO SPECIFICATION") => boot = Some(descriptor),
                1 => primary = primary.or(Some(descriptor)),
                _ => {}
            }
        } else if !is_at(descriptor, 1, b"BEA01") && !is_at(descriptor, 1, b"TEA01") {
            break;
        }
    }
    if primary.is_none() && !udf {
        return None;
    }
    let (bios, uefi) = match boot.map(|descriptor| platforms(window, le32(descriptor, 0x47))) {
        Some(Ok(platforms)) => platforms,
        Some(Err(_)) | None => (false, false),
    };
    let kind = if primary.is_some() { "iso9660" } else { "udf" };
    let mut volume = Volume::new(kind, Content::Disc { bios, uefi });
    if let Some(primary) = primary {
        volume.found.label = text(primary, 40, 32);
        volume.found.uuid = created(primary);
        let bytes = u64::from(le32(primary, 80)).checked_mul(u64::from(le16(primary, 128)));
        volume.found.size = bytes;
        volume.found.used = bytes;
        volume.found.used_until = bytes;
    }
    Some(volume)
}

/// Returns when the disc was made: that is what systems call its UUID.
fn created(primary: &[u8]) -> Option<String> {
    let digits = primary.get(813..829)?;
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|digit| *digit == b'0') {
        return None;
    }
    let digits = clean(&String::from_utf8_lossy(digits))?;
    let parts =
        [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16].map(|range| digits.get(range).unwrap_or(""));
    Some(parts.join("-"))
}

/// Returns whether the boot catalogue has entries for a BIOS and for UEFI.
fn platforms(window: &Window, sector: u32) -> Result<(bool, bool)> {
    let catalogue = window.bytes(u64::from(sector) * 2048, SECTOR)?;
    let mut platforms = (false, false);
    let mut entries = catalogue.chunks_exact(32).take(MAX_ENTRIES);
    let Some(validation) = entries.next().filter(|entry| byte(entry, 0) == 1) else { return Ok(platforms) };
    let mut platform = byte(validation, 1);
    for entry in entries {
        match byte(entry, 0) {
            // Bootable.
            0x88 if platform == UEFI => platforms.1 = true,
            0x88 => platforms.0 = true,
            // The header of a section, and that of the last one.
            0x90 | 0x91 => platform = byte(entry, 1),
            _ => {}
        }
    }
    Ok(platforms)
}
