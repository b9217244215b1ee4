//! Sectors: the unit of every offset in the format.

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;

/// Returns a sector's first byte.
pub(crate) fn sector(number: u32) -> u64 {
    u64::from(number) * SECTOR
}
