//! FAT 12, 16 and 32, by the boot sector and the table of clusters.

use imprint_plugin_sdk::error::Result;

use super::{Content, Kind, Volume};
use crate::{
    bytes::{budget, byte, corrupt, is_at, le16, le32, text, to_u64, to_usize},
    window::Window,
};

/// The largest table that is counted, in bytes: that of 64 GiB in clusters of 32 KiB.
const MAX_TABLE: u64 = 8 << 20;
/// The bytes of a table that are read at once: a multiple of the entries of every width.
const PIECE: usize = 48 << 10;

/// The numbers of a boot sector.
struct Layout {
    sector: u64,
    cluster: u64,
    table: u64,
    table_bytes: u64,
    data: u64,
    size: u64,
    clusters: u64,
    is_32: bool,
}

/// Recognises FAT.
pub(super) fn recognise(window: &Window, head: &[u8]) -> Option<Volume> {
    let layout = layout(head)?;
    let mut volume = Volume::new("vfat", Content::Files(Kind::Fat));
    let (serial, label) = if layout.is_32 { (67, 71) } else { (39, 43) };
    if byte(head, serial - 1) == 0x29 {
        let number = le32(head, serial);
        volume.found.uuid = Some(format!("{:04X}-{:04X}", number >> 16, number & 0xffff));
        volume.found.label = text(head, label, 11).filter(|label| label != "NO NAME");
    }
    volume.found.size = Some(layout.size);
    match layout.used(window) {
        Ok((used, until)) => {
            volume.found.used = Some(used);
            volume.found.used_until = Some(until);
        }
        Err(error) => volume.failed = Some(error),
    }
    Some(volume)
}

/// Returns the numbers of a boot sector of FAT; `None` for another one.
fn layout(head: &[u8]) -> Option<Layout> {
    let jumps = is_at(head, 0, &[0xeb]) || is_at(head, 0, &[0xe9]);
    let sector = u64::from(le16(head, 11));
    let per_cluster = u64::from(byte(head, 13));
    let reserved = u64::from(le16(head, 14));
    let tables = u64::from(byte(head, 16));
    let roots = u64::from(le16(head, 17));
    let plausible = matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1 | 2)
        && byte(head, 21) >= 0xf0;
    if !jumps || !plausible || !is_at(head, 510, &[0x55, 0xaa]) {
        return None;
    }
    let either = |small: u16, large: u32| if small == 0 { u64::from(large) } else { u64::from(small) };
    let sectors = either(le16(head, 19), le32(head, 32));
    let table_sectors = either(le16(head, 22), le32(head, 36));
    let data = reserved + tables * table_sectors + (roots * 32).div_ceil(sector);
    let clusters = sectors.checked_sub(data)? / per_cluster;
    Some(Layout {
        sector,
        cluster: per_cluster * sector,
        table: reserved * sector,
        table_bytes: table_sectors * sector,
        data: data * sector,
        size: sectors * sector,
        clusters,
        is_32: le16(head, 22) == 0,
    })
}

impl Layout {
    /// The bits of an entry of the table.
    fn bits(&self) -> u64 {
        match self.clusters {
            _ if self.is_32 => 32,
            0..4085 => 12,
            _ => 16,
        }
    }

    /// Returns the bytes in use, and where the last used cluster ends.
    fn used(&self, window: &Window) -> Result<(u64, u64)> {
        let entries = self.clusters + 2;
        let bytes = (entries * self.bits()).div_ceil(8);
        if bytes > self.table_bytes {
            return Err(corrupt("the table of clusters is shorter than the file system"));
        }
        if bytes > MAX_TABLE {
            return Err(budget("the table of clusters is too long to be counted"));
        }
        let (mut used, mut last) = (0_u64, None);
        let mut at = 0;
        while at < bytes {
            let piece = window.bytes(self.table + at, PIECE.min(to_usize(bytes - at)))?;
            let first = at * 8 / self.bits();
            for (number, taken) in (first..entries).zip(taken(&piece, self.bits())) {
                if taken && number >= 2 {
                    used += 1;
                    last = Some(number);
                }
            }
            at += to_u64(piece.len());
        }
        let until = last.map_or(self.data, |last| self.data + (last - 1) * self.cluster);
        Ok((self.data + used * self.cluster, until.min(self.size).max(self.sector)))
    }
}

/// Returns of each entry in a piece of the table whether its cluster is in use. A bad cluster
/// counts as one.
fn taken(piece: &[u8], bits: u64) -> Vec<bool> {
    match bits {
        32 => piece.chunks_exact(4).map(|entry| le32(entry, 0) & 0x0fff_ffff != 0).collect(),
        16 => piece.chunks_exact(2).map(|entry| le16(entry, 0) != 0).collect(),
        _ => {
            let pairs = piece.chunks(3).flat_map(|pair| {
                let first = le16(pair, 0) & 0x0fff;
                let second = (u16::from(byte(pair, 1)) >> 4) | (u16::from(byte(pair, 2)) << 4);
                [first != 0, second != 0]
            });
            pairs.collect()
        }
    }
}
