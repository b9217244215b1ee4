//! `streamOptimized` with a footer: nothing in it points forward but the header to the end of the
//! file.

use imprint_plugin_sdk::{
    format::{
        FormatError, FrameField, MetadataPage, Placed, Rules,
        wire::{round_up, to_u64, to_usize},
    },
    types::{Codec, props},
};

use super::{
    grains::{ENTRIES, GRAIN, bad_run, entry, too_many_tables},
    pieces::Pieces,
    request::Geometry,
};
use crate::{
    footer::{MARKER_END, MARKER_FOOTER},
    header::{GD_AT_END, MARKER},
    sector::SECTOR,
};

/// Payload begins at a grain, which leaves room for header and descriptor.
const DATA_START: u64 = GRAIN;
/// Grains of a table: the host asks for the table behind the last of them.
const INTERLEAVE_EVERY: u32 = 512;
/// Longest zlib stream of a grain that is stored; what does not compress grows by some bytes.
const MAX_ENCODED: u64 = 2 * GRAIN + 4096;
/// Tables that wait to be written, at most: a host that asks for none between the grains gets an
/// error.
const MAX_WAITING: usize = 1024;
const MARKER_TABLE: u32 = 1;
const MARKER_DIRECTORY: u32 = 2;

type Table = Box<[u32; ENTRIES]>;

/// A stream being written.
///
/// Memory: the directory (at most 8 MiB), and the tables that were not given out yet.
pub(super) struct StreamLayout {
    directory: Vec<u32>,
    /// The tables that are not written yet, by their number.
    waiting: Vec<(usize, Table)>,
    tail: Option<Pieces>,
    payload_end: u64,
}

impl StreamLayout {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let tables = usize::try_from(geometry.tables()).expect("a disk has at most 2 Mi grain tables");
        Self { directory: vec![0; tables], waiting: Vec::new(), tail: None, payload_end: DATA_START }
    }

    pub(super) fn rules() -> Rules {
        let unit = u32::try_from(GRAIN).expect("64 KiB");
        Rules {
            align: 512,
            codec: Some(Codec { name: "zlib".to_owned(), params: props([("tail", "exact")]) }),
            max_encoded: u32::try_from(MAX_ENCODED).expect("132 KiB"),
            frame: vec![FrameField::AddressU64Le(unit / 512), FrameField::StoredLengthU32Le],
            interleave_every: INTERLEAVE_EVERY,
            ascending: true,
            ..Rules::units(DATA_START, unit)
        }
    }

    /// One framed grain; `file_offset` is where its frame begins.
    pub(super) fn take(&mut self, run: &Placed) -> Result<(), FormatError> {
        if run.stored_length == 0 || run.length > GRAIN {
            return Err(bad_run("is not one compressed grain", run));
        }
        if run.file_offset < self.payload_end || !run.file_offset.is_multiple_of(SECTOR) {
            return Err(bad_run("does not follow the grain before it at a sector", run));
        }
        let number = to_usize(run.offset / GRAIN)?;
        let (table, index) = (number / ENTRIES, number % ENTRIES);
        if self.directory.get(table).is_some_and(|written| *written != 0) {
            return Err(bad_run("belongs to a table that is written already", run));
        }
        if self.waiting.last().is_none_or(|(last, _)| *last != table) {
            if self.waiting.len() >= MAX_WAITING {
                return Err(too_many_tables());
            }
            self.waiting.push((table, Box::new([0; ENTRIES])));
        }
        if let Some((_, entries)) = self.waiting.last_mut() {
            entries[index] = entry(run.file_offset)?;
        }
        self.payload_end = run.file_offset + MARKER + u64::from(run.stored_length);
        Ok(())
    }

    /// At 0 the head of the file; elsewhere the tables of the grains so far: the next grain belongs
    /// to another one.
    pub(super) fn interleave(&mut self, geometry: &Geometry, at: u64) -> Result<Vec<u8>, FormatError> {
        if at == 0 {
            let mut head = geometry.header((0, GD_AT_END), DATA_START / SECTOR);
            head.extend(geometry.descriptor());
            head.resize(to_usize(DATA_START)?, 0);
            return Ok(head);
        }
        let mut bytes = Vec::new();
        self.emit(at, &mut bytes)?;
        self.payload_end = self.payload_end.max(at + to_u64(bytes.len()));
        Ok(bytes)
    }

    /// Appends the tables that wait to `bytes`, which begin at `at` of the file.
    fn emit(&mut self, at: u64, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        for (number, entries) in self.waiting.drain(..) {
            pad(at, bytes)?;
            bytes.extend(marker(to_u64(ENTRIES) * 4 / SECTOR, MARKER_TABLE));
            self.directory[number] = entry(at + to_u64(bytes.len()))?;
            bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        }
        Ok(())
    }

    pub(super) fn metadata(
        &mut self,
        geometry: &Geometry,
        end: u64,
        start: u64,
        max_bytes: u32,
    ) -> Result<MetadataPage, FormatError> {
        if self.tail.is_none() {
            let tail = self.tail(geometry, end.max(self.payload_end))?;
            self.tail = Some(tail);
        }
        let tail = self.tail.as_ref().expect("made above");
        tail.page(start, max_bytes)
    }

    /// Everything behind the last grain, and then what makes the file valid.
    fn tail(&mut self, geometry: &Geometry, at: u64) -> Result<Pieces, FormatError> {
        let mut bytes = Vec::new();
        self.emit(at, &mut bytes)?;
        pad(at, &mut bytes)?;
        bytes.extend(marker(geometry.directory_sectors(), MARKER_DIRECTORY));
        let directory = (at + to_u64(bytes.len())) / SECTOR;
        bytes.extend(self.directory.iter().flat_map(|table| table.to_le_bytes()));
        pad(at, &mut bytes)?;
        bytes.extend(marker(1, MARKER_FOOTER));
        bytes.extend(geometry.header((0, directory), DATA_START / SECTOR));
        bytes.extend(marker(0, MARKER_END));
        let final_size = at + to_u64(bytes.len());
        let header = geometry.header((0, GD_AT_END), DATA_START / SECTOR);
        Ok(Pieces { pieces: vec![(at, bytes), (SECTOR, geometry.descriptor()), (0, header)], final_size })
    }
}

/// Fills up to the next sector of the file.
fn pad(at: u64, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
    let end = at + to_u64(bytes.len());
    bytes.resize(bytes.len() + to_usize(round_up(end, SECTOR) - end)?, 0);
    Ok(())
}

/// A marker of something that is no grain: how many sectors follow, no length, and what they are.
fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_le_bytes());
    bytes.resize(512, 0);
    bytes
}
