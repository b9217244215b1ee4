//! The partition table in a PC's boot sector, and the chain of extended ones.

use std::collections::BTreeSet;

use imprint_plugin_sdk::{
    error::{Error, Result},
    inspector::Partition,
};

use super::SECTOR;
use crate::{
    bytes::{budget, byte, corrupt, is_at, le32},
    window::Window,
};

/// The type of the one partition in front of a GPT.
pub(super) const PROTECTIVE: u8 = 0xee;
/// The types of extended partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// The first entry in a boot sector, and the bytes of one.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
/// The most tables of a chain that are read.
const MAX_CHAIN: usize = 128;

/// An entry of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    flag: u8,
    pub(super) kind: u8,
    start: u64,
    length: u64,
}

/// Returns the four entries of a boot sector.
pub(super) fn entries(sector: &[u8]) -> Vec<Entry> {
    let entry = |index: usize| {
        let at = ENTRIES + index * ENTRY;
        Entry {
            flag: byte(sector, at),
            kind: byte(sector, at + 4),
            start: u64::from(le32(sector, at + 8)) * SECTOR,
            length: u64::from(le32(sector, at + 12)) * SECTOR,
        }
    };
    (0..4).map(entry).collect()
}

/// Returns whether the entries are a partition table and not the code of a file system's own boot
/// sector.
pub(super) fn is_plausible(entries: &[Entry]) -> bool {
    let used = |entry: &Entry| entry.kind != 0 && entry.length != 0;
    entries.iter().all(|entry| matches!(entry.flag, 0 | 0x80)) && entries.iter().any(used)
}

/// Returns the partitions, and why not all of them were read.
pub(super) fn partitions(disk: &Window, entries: &[Entry]) -> (Vec<Partition>, Option<Error>) {
    let mut found = Vec::new();
    let mut failed = None;
    let numbered = (1_u32..).zip(entries);
    for (number, entry) in numbered.clone().filter(|(_, entry)| entry.kind != 0 && entry.length != 0) {
        found.push(partition(number, entry, entry.start));
    }
    for (_, entry) in numbered.filter(|(_, entry)| EXTENDED.contains(&entry.kind)) {
        if let Err(error) = chain(disk, entry.start, &mut found) {
            failed.get_or_insert(error);
        }
    }
    (found, failed)
}

fn partition(number: u32, entry: &Entry, start: u64) -> Partition {
    Partition {
        number,
        start,
        length: entry.length,
        kind: format!("0x{:02x}", entry.kind),
        name: None,
        bootable: entry.flag == 0x80,
    }
}

/// Follows the chain of tables in an extended partition: each has one logical partition, relative
/// to itself, and the next table, relative to the extended partition.
fn chain(disk: &Window, first: u64, found: &mut Vec<Partition>) -> Result<()> {
    let mut at = first;
    let mut seen = BTreeSet::new();
    let mut number = 5;
    while seen.len() < MAX_CHAIN {
        if !seen.insert(at) {
            return Err(corrupt("the tables of the extended partition lead in a circle"));
        }
        let sector = disk.bytes(at, 512)?;
        if !is_at(&sector, 510, &[0x55, 0xaa]) {
            return Err(corrupt(format!("there is no table of the extended partition at {at}")));
        }
        let entries = entries(&sector);
        let [logical, next, ..] = entries.as_slice() else { return Ok(()) };
        if logical.kind != 0 && logical.length != 0 {
            found.push(partition(number, logical, at.saturating_add(logical.start)));
            number += 1;
        }
        if next.kind == 0 || next.length == 0 {
            return Ok(());
        }
        at = first.saturating_add(next.start);
    }
    Err(budget(format!("the extended partition has more than {MAX_CHAIN} tables")))
}
