//! `monolithicSparse`: all tables are in front, so the n-th stored grain is the n-th grain behind
//! them.

use imprint_plugin_sdk::format::{
    FormatError, MetadataPage, Placed, Rules, Segment,
    wire::{round_up, to_u64, to_usize},
};

use super::{
    grains::{ENTRIES, GRAIN, bad_run, entry, too_many_tables},
    request::Geometry,
};
use crate::sector::SECTOR;

/// Tables with grains that a layout remembers, at most: 32 MiB. A file of 2 TiB can have grains in
/// more tables only when they hold less than 4 MiB each.
const MAX_GROUPS: usize = 400_000;
/// Sectors of a grain table.
const TABLE_SECTORS: u64 = 4;
/// Entries of a sector.
const PER_SECTOR: u64 = SECTOR / 4;

/// Which grains of one table are stored, and how many are stored before them in the whole file.
struct Group {
    table: u32,
    before: u64,
    stored: [u64; ENTRIES / 64],
}

impl Group {
    fn has(&self, index: usize) -> bool {
        self.stored[index / 64] >> (index % 64) & 1 == 1
    }
}

/// A sparse file being written. Memory: 80 bytes for each table that has a grain.
pub(super) struct SparseLayout {
    groups: Vec<Group>,
    /// Grains stored so far.
    stored: u64,
    places: Places,
}

/// Where everything is, in sectors.
#[derive(Clone, Copy, Debug)]
struct Places {
    tables: u64,
    redundant_directory: u64,
    redundant: u64,
    directory: u64,
    used: u64,
    /// The first sector behind the last table.
    end: u64,
    data: u64,
}

impl SparseLayout {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let tables = geometry.tables();
        let redundant_directory = Geometry::tables_start();
        let redundant = redundant_directory + geometry.directory_sectors();
        let directory = redundant + tables * TABLE_SECTORS;
        let used = directory + geometry.directory_sectors();
        let end = used + tables * TABLE_SECTORS;
        let data = round_up(end, GRAIN / SECTOR);
        let places = Places { tables, redundant_directory, redundant, directory, used, end, data };
        Self { groups: Vec::new(), stored: 0, places }
    }

    pub(super) fn rules(&self) -> Rules {
        let unit = u32::try_from(GRAIN).expect("64 KiB");
        Rules { ascending: true, ..Rules::units(self.data_start(), unit) }
    }

    fn data_start(&self) -> u64 {
        self.places.data * SECTOR
    }

    pub(super) fn take(&mut self, run: &Placed) -> Result<(), FormatError> {
        if run.stored_length != 0 {
            return Err(bad_run("is encoded, and the image is not compressed", run));
        }
        if run.file_offset != self.data_start() + self.stored * GRAIN {
            return Err(bad_run("does not follow the grain before it", run));
        }
        let count = run.length.div_ceil(GRAIN);
        entry(run.file_offset + count * GRAIN)?;
        // A run may be the whole disk: words of a group, not grains.
        let (mut number, end) = (run.offset / GRAIN, run.offset / GRAIN + count);
        while number < end {
            let next = (number / 64 + 1).saturating_mul(64).min(end);
            self.push(number, next - number)?;
            number = next;
        }
        Ok(())
    }

    /// Adds `count` grains from that one on, which lie in one word of their group.
    fn push(&mut self, number: u64, count: u64) -> Result<(), FormatError> {
        let table = u32::try_from(number / to_u64(ENTRIES)).expect("a disk has at most 2 Mi grain tables");
        let index = to_usize(number % to_u64(ENTRIES))?;
        if self.groups.last().is_none_or(|group| group.table != table) {
            if self.groups.len() >= MAX_GROUPS {
                return Err(too_many_tables());
            }
            self.groups.push(Group { table, before: self.stored, stored: [0; ENTRIES / 64] });
        }
        if let Some(group) = self.groups.last_mut() {
            group.stored[index / 64] |= u64::MAX >> (64 - count) << (index % 64);
        }
        self.stored += count;
        Ok(())
    }

    /// Tables that are all zeroes are not written: a new file reads as zeroes there. `start` counts
    /// sectors.
    pub(super) fn metadata(
        &self,
        geometry: &Geometry,
        end: u64,
        start: u64,
        max_bytes: u32,
    ) -> Result<MetadataPage, FormatError> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut room = u64::from(max_bytes) / SECTOR;
        let mut at = start.max(Geometry::tables_start());
        while at < self.places.end && room > 0 {
            at = self.next_written(at);
            if at >= self.places.end {
                break;
            }
            let bytes = self.sector(at)?;
            match segments.last_mut() {
                Some(last) if last.file_offset + to_u64(last.bytes.len()) == at * SECTOR => {
                    last.bytes.extend(bytes);
                }
                Some(_) | None => segments.push(Segment { file_offset: at * SECTOR, bytes }),
            }
            at += 1;
            room -= 1;
        }
        if at < self.places.end {
            return Ok(MetadataPage { segments, resume: at, done: false, final_size: None });
        }
        self.head(geometry, (end, at.max(self.places.end), room), segments)
    }

    /// The descriptor and, last of all, the header.
    fn head(
        &self,
        geometry: &Geometry,
        (end, at, mut room): (u64, u64, u64),
        mut segments: Vec<Segment>,
    ) -> Result<MetadataPage, FormatError> {
        let descriptor = geometry.descriptor();
        let mut written = at - self.places.end;
        let all = to_u64(descriptor.len()) / SECTOR;
        while written < all && room > 0 {
            let from = to_usize(written * SECTOR)?;
            let bytes = descriptor[from..from + 512].to_vec();
            segments.push(Segment { file_offset: SECTOR + written * SECTOR, bytes });
            written += 1;
            room -= 1;
        }
        if written > all {
            return Err(FormatError::Request("there are no tables behind the header".to_owned()));
        }
        let resume = self.places.end + written;
        if room == 0 {
            return Ok(MetadataPage { segments, resume, done: false, final_size: None });
        }
        let header =
            geometry.header((self.places.redundant_directory, self.places.directory), self.places.data);
        segments.push(Segment { file_offset: 0, bytes: header });
        let final_size = end.max(self.data_start() + self.stored * GRAIN);
        Ok(MetadataPage { segments, resume: resume + 1, done: true, final_size: Some(final_size) })
    }

    /// The first sector from `at` on that is not all zeroes.
    fn next_written(&self, at: u64) -> u64 {
        let Places { redundant_directory, redundant, directory, used, end, .. } = self.places;
        if (redundant_directory..redundant).contains(&at) || (directory..used).contains(&at) {
            return at;
        }
        let (first, last) = if at < directory { (redundant, directory) } else { (used, end) };
        let table = (at - first) / TABLE_SECTORS;
        let next = self.groups.partition_point(|group| u64::from(group.table) < table);
        match self.groups.get(next) {
            Some(group) if u64::from(group.table) == table => at,
            Some(group) => first + u64::from(group.table) * TABLE_SECTORS,
            None => last,
        }
        .min(last)
    }

    /// One sector of directories or tables.
    fn sector(&self, at: u64) -> Result<Vec<u8>, FormatError> {
        let Places { tables, redundant_directory, redundant, directory, used, .. } = self.places;
        let directory_of = |first: u64, table_area: u64| {
            let start = (at - first) * PER_SECTOR;
            let entries = (start..start + PER_SECTOR).map(|number| {
                if number < tables { entry((table_area + number * TABLE_SECTORS) * SECTOR) } else { Ok(0) }
            });
            entries.collect::<Result<Vec<u32>, _>>()
        };
        let entries = if at < redundant {
            directory_of(redundant_directory, redundant)?
        } else if at < directory {
            self.table_sector(at - redundant)?
        } else if at < used {
            directory_of(directory, used)?
        } else {
            self.table_sector(at - used)?
        };
        Ok(entries.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    fn table_sector(&self, at: u64) -> Result<Vec<u32>, FormatError> {
        let (table, part) = (at / TABLE_SECTORS, at % TABLE_SECTORS);
        let found = self.groups.binary_search_by_key(&table, |group| u64::from(group.table));
        let Some(group) = found.ok().and_then(|index| self.groups.get(index)) else {
            return Ok(vec![0; to_usize(PER_SECTOR)?]);
        };
        let first = to_usize(part * PER_SECTOR)?;
        let earlier: u64 = to_u64((0..first).filter(|index| group.has(*index)).count());
        let mut number = group.before + earlier;
        (first..first + to_usize(PER_SECTOR)?)
            .map(|index| {
                if !group.has(index) {
                    return Ok(0);
                }
                number += 1;
                entry(self.data_start() + (number - 1) * GRAIN)
            })
            .collect()
    }
}
