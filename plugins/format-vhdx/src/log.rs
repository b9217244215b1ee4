//! The log of a file that was not closed ([MS-VHDX] 2.3): which entries count, and what they
//! change.
//!
//! The log is a ring of sectors of 4 KiB. An entry: 0 "loge", 4 CRC, 8 length, 12 tail, 16 sequence
//! number, 24 descriptors, 32 log GUID, 48 flushed file size, 56 last file size; from 64 on the
//! descriptors, 32 bytes each (the first 126 share the header's sector), then a sector for each
//! data descriptor.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::read_exact,
        wire::{le32, le64},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    crc::Crc32c,
    guid::Guid,
    header::{CLOSE, HEADERS_END, Header},
    overlay::{DataSector, Overlay, Patch, SECTOR},
    tables::MAX_READ,
};

const ENTRY_HEADER: u64 = 64;
const DESCRIPTOR: u64 = 32;
/// How many times the log's length is read at most while its entries are looked for. Each entry is
/// read once; only in a forged log do many of them overlap.
const MAX_PASSES: u64 = 2;
/// The most changes that are played back. A change of data takes a sector of the log, of which
/// there are 2^14; the rest is for zeroes.
const MAX_CHANGES: u64 = 1 << 18;
/// What to do with a log that cannot be played back.
const COPY_AGAIN: &str = "the log cannot be played back: copy the file again while the virtual machine is off, or run `Repair-VHD` on the original";

/// What playing the log back would change in the file.
pub(crate) fn replay(blob: &dyn Blob, header: &Header) -> Result<Overlay, FormatError> {
    let mut overlay = Overlay::default();
    if !header.is_dirty() {
        return Ok(overlay);
    }
    let mut ring = Ring {
        blob,
        offset: header.log.offset,
        length: header.log.length,
        guid: header.log_guid,
        budget: header.log.length * MAX_PASSES,
        known: BTreeMap::new(),
    };
    let sequence = ring.active_sequence()?;
    let Some(head) = sequence.last() else {
        return Err(FormatError::Log(format!(
            "the file was not closed, and its log has no valid entry; {COPY_AGAIN}"
        )));
    };
    let needed = head.flushed_size.max(head.last_size);
    if blob.size() < needed {
        return Err(FormatError::Truncated(format!(
            "the file has {} bytes, and by its log it had {needed}",
            blob.size()
        )));
    }
    let first = sequence.iter().position(|entry| entry.at == head.tail).unwrap_or(0);
    let played_back = sequence.get(first..).unwrap_or_default();
    let changes: u64 = played_back.iter().map(|entry| entry.descriptors).sum();
    if changes > MAX_CHANGES {
        return Err(FormatError::LogSize(format!(
            "the log has {changes} changes, and {MAX_CHANGES} are possible; {CLOSE}"
        )));
    }
    for entry in played_back {
        ring.apply(entry, &mut overlay)?;
    }
    Ok(overlay)
}

/// An entry whose every part was checked.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it starts in the ring.
    at: u64,
    length: u64,
    /// Where the sequence that ends with it starts in the ring.
    tail: u64,
    number: u64,
    descriptors: u64,
    flushed_size: u64,
    last_size: u64,
}

struct Ring<'a> {
    blob: &'a dyn Blob,
    offset: u64,
    length: u64,
    guid: Guid,
    /// Bytes that may still be read while looking for entries.
    budget: u64,
    /// What is at the places of the ring that were looked at.
    known: BTreeMap<u64, Option<Entry>>,
}

impl Ring<'_> {
    /// The valid sequence with the largest number ([MS-VHDX] 2.3.2): entries whose numbers follow
    /// each other and whose last one names one of them as its tail.
    fn active_sequence(&mut self) -> Result<Vec<Entry>, FormatError> {
        let mut best: Vec<Entry> = Vec::new();
        let mut start = 0;
        while start < self.length {
            let sequence = self.sequence(start)?;
            let Some(head) = sequence.last().copied() else {
                start += SECTOR;
                continue;
            };
            let end = start + sequence.iter().map(|entry| entry.length).sum::<u64>();
            let contains_tail = sequence.iter().any(|entry| entry.at == head.tail);
            if contains_tail && best.last().is_none_or(|best| best.number < head.number) {
                best = sequence;
            }
            // A sequence that starts later in this one ends like this one, and has no more entries
            // to find its tail in. Behind the end of the ring, everything is known.
            start = end;
        }
        Ok(best)
    }

    /// The entries from there on, as far as they are valid and follow each other; at most once
    /// around the ring.
    fn sequence(&mut self, start: u64) -> Result<Vec<Entry>, FormatError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut taken = 0;
        while let Some(entry) = self.entry((start + taken) % self.length)? {
            let follows = entries.last().is_none_or(|last| last.number.checked_add(1) == Some(entry.number));
            taken += entry.length;
            if !follows || taken > self.length {
                break;
            }
            entries.push(entry);
            if taken == self.length {
                break;
            }
        }
        Ok(entries)
    }

    /// The entry at a place of the ring, if there is a valid one.
    fn entry(&mut self, at: u64) -> Result<Option<Entry>, FormatError> {
        if let Some(known) = self.known.get(&at) {
            return Ok(*known);
        }
        let head = self.read(at, SECTOR)?;
        let field = |offset| le64(&head, offset).unwrap_or(0);
        let word = |offset| u64::from(le32(&head, offset).unwrap_or(0));
        let entry = Entry {
            at,
            length: word(8),
            tail: word(12),
            number: field(16),
            descriptors: word(24),
            flushed_size: field(48),
            last_size: field(56),
        };
        let whole = |value: u64, least: u64| value.is_multiple_of(SECTOR) && value >= least;
        let formed = head.starts_with(b"loge")
            && Guid::read(&head, 32) == Some(self.guid)
            && entry.number > 0
            && whole(entry.length, SECTOR)
            && entry.length <= self.length
            && whole(entry.tail, 0)
            && entry.tail < self.length
            && entry.descriptor_sectors() * SECTOR <= entry.length;
        let valid = formed && self.is_sound(&entry, le32(&head, 4))?;
        let found = valid.then_some(entry);
        self.known.insert(at, found);
        Ok(found)
    }

    /// Whether the entry has its checksum, and descriptors and data sectors carry the marks and the
    /// number of their entry.
    fn is_sound(&mut self, entry: &Entry, checksum: Option<u32>) -> Result<bool, FormatError> {
        self.budget = self
            .budget
            .checked_sub(entry.length)
            .ok_or_else(|| FormatError::LogSize(format!("the entries of the log overlap; {CLOSE}")))?;
        let mut crc = Crc32c::new();
        let mut parts = Parts::of(entry);
        let mut done = 0;
        while done < entry.length {
            let length = (entry.length - done).min(MAX_READ);
            let mut piece = self.read(entry.at + done, length)?;
            if done == 0
                && let Some(field) = piece.get_mut(4..8)
            {
                field.fill(0);
            }
            crc.update(&piece);
            piece.chunks_exact(place(SECTOR)).for_each(|sector| parts.take(entry, sector));
            done += length;
        }
        let length = (entry.descriptor_sectors() + parts.data_sectors) * SECTOR;
        Ok(parts.sound && length == entry.length && Some(crc.finish()) == checksum)
    }

    fn for_each_descriptor(
        &self,
        entry: &Entry,
        mut take: impl FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut left = entry.descriptors;
        for index in 0..entry.descriptor_sectors() {
            let sector = self.read(entry.at + index * SECTOR, SECTOR)?;
            let skip = if index == 0 { ENTRY_HEADER } else { 0 };
            let here = left.min((SECTOR - skip) / DESCRIPTOR);
            let (_, descriptors) = sector.split_at(place(skip));
            for descriptor in descriptors.chunks_exact(place(DESCRIPTOR)).take(place(here)) {
                take(descriptor)?;
            }
            left -= here;
        }
        Ok(())
    }

    /// Adds the changes of an entry to the overlay.
    fn apply(&self, entry: &Entry, overlay: &mut Overlay) -> Result<(), FormatError> {
        let mut data_sectors = 0;
        let (file, log) = (self.blob.size(), ByteRange { offset: self.offset, length: self.length });
        self.for_each_descriptor(entry, |descriptor| {
            let target = le64(descriptor, 16).unwrap_or(0);
            let (length, patch) = if descriptor.starts_with(b"zero") {
                (le64(descriptor, 8).unwrap_or(0), Patch::Zero)
            } else {
                let at = self.offset + entry.data_sector(data_sectors) % self.length;
                data_sectors += 1;
                let bytes = |at| descriptor.get(at..).and_then(|rest| rest.first_chunk().copied());
                let trailing = descriptor.get(4..).and_then(|rest| rest.first_chunk().copied());
                let sector = DataSector {
                    at,
                    leading: bytes(8).unwrap_or_default(),
                    trailing: trailing.unwrap_or_default(),
                };
                (SECTOR, Patch::Data(sector))
            };
            let end = target
                .checked_add(length)
                .filter(|_| target.is_multiple_of(SECTOR) && length.is_multiple_of(SECTOR));
            let Some(end) = end else {
                return Err(FormatError::Log(format!(
                    "the log changes {length} bytes at {target:#x}, which are no sectors; {COPY_AGAIN}"
                )));
            };
            if target < HEADERS_END || (target < log.offset + log.length && log.offset < end) {
                return Err(FormatError::Log(format!(
                    "the log changes {length} bytes at {target:#x}, where the headers or the log itself are; {COPY_AGAIN}"
                )));
            }
            if end > file {
                return Err(FormatError::Truncated(format!(
                    "the log changes the file up to {end:#x}, and the file ends at {file:#x}"
                )));
            }
            overlay.cover(target, end, patch)
        })
    }

    /// Reads from a place of the ring on, around its end; at most [`MAX_READ`].
    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, FormatError> {
        let at = at % self.length;
        let first = length.min(self.length - at);
        let mut bytes = read_exact(self.blob, self.offset + at, first)?;
        if first < length {
            bytes.extend(read_exact(self.blob, self.offset, length - first)?);
        }
        Ok(bytes)
    }
}

/// What was seen of the parts of an entry, sector by sector.
struct Parts {
    sectors: u64,
    descriptors_left: u64,
    data_sectors: u64,
    sound: bool,
}

impl Parts {
    fn of(entry: &Entry) -> Self {
        Self { sectors: 0, descriptors_left: entry.descriptors, data_sectors: 0, sound: true }
    }

    /// Takes the next sector of the entry.
    fn take(&mut self, entry: &Entry, sector: &[u8]) {
        if self.sectors < entry.descriptor_sectors() {
            let skip = if self.sectors == 0 { ENTRY_HEADER } else { 0 };
            let here = self.descriptors_left.min((SECTOR - skip) / DESCRIPTOR);
            self.descriptors_left -= here;
            for descriptor in sector[place(skip)..].chunks_exact(place(DESCRIPTOR)).take(place(here)) {
                let is_data = descriptor.starts_with(b"desc");
                self.data_sectors += u64::from(is_data);
                let marked = is_data || descriptor.starts_with(b"zero");
                self.sound &= marked && le64(descriptor, 24) == Some(entry.number);
            }
        } else {
            let half = |at| u64::from(le32(sector, at).unwrap_or(0));
            self.sound &= sector.starts_with(b"data") && half(4) << 32 | half(4092) == entry.number;
        }
        self.sectors += 1;
    }
}

impl Entry {
    /// Sectors of header and descriptors.
    fn descriptor_sectors(&self) -> u64 {
        (ENTRY_HEADER + self.descriptors * DESCRIPTOR).div_ceil(SECTOR)
    }

    /// Where a data sector is in the ring, before going around its end.
    fn data_sector(&self, index: u64) -> u64 {
        self.at + (self.descriptor_sectors() + index) * SECTOR
    }
}

fn place(distance: u64) -> usize {
    usize::try_from(distance).expect("at most a sector")
}
