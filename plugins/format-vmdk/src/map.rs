//! The map of the disk: which virtual bytes are where in which file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::{
    format::{ExtentKind, MapBuilder, Page},
    types::ByteRange,
};

use crate::{
    error::VmdkError,
    header::Grains,
    image::{Image, PartKind},
    source::{end_of, read_each},
    sparse::{BUDGET, Sparse},
    wire::{SECTOR, le32, le32s, le64, sector, to_u64, to_usize},
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
/// Grains whose markers are read at once, at most.
const MARKERS: usize = 512;
/// Bytes of a grain's marker: the first sector of the disk that it holds, and the length of the
/// stream behind it.
pub(crate) const MARKER: u64 = 12;
/// What a stored grain may be longer than a grain: the host's bound on encoded units is twice the
/// unit and 4 KiB.
const SLACK: u64 = 4096;

impl Image {
    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded number of tables a
    /// call.
    ///
    /// A compressed grain cannot be cut: `start` and `end` must not lie inside of one. At the end
    /// of the disk its extent ends with the disk, although its bytes decode to a whole grain.
    pub(crate) fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page, VmdkError> {
        let end = end.min(self.size());
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let mut budget = BUDGET;
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && !map.is_full() && budget > 0 {
            let at = map.cursor();
            let part = self.parts.iter_mut().find(|part| part.end() > at);
            let part =
                part.ok_or_else(|| VmdkError::Request("the map was asked behind the disk".to_owned()))?;
            let rest = part.end() - at;
            flow = match &mut part.kind {
                PartKind::Zero => map.zero(rest)?,
                PartKind::Flat { source, offset } => map.data(rest, *source, *offset + (at - part.start))?,
                PartKind::Sparse { source, extent: Some(sparse) } => {
                    let part = Window { source: *source, start: part.start, end: part.start + part.length };
                    sparse.fill(&mut map, part, max, &mut budget)?
                }
                PartKind::Sparse { source, extent: None } => {
                    return Err(VmdkError::ExternalReference(format!(
                        "the disk's bytes from {at:#x} on are in another file (source {source}), which was not granted; convert all files of the disk together, or flatten it into one"
                    )));
                }
            };
        }
        let page = map.finish();
        self.check_aliases(&page)?;
        Ok(page)
    }

    /// No payload lies in the tables of its own file. Whether two extents share bytes is seen only
    /// over the whole map: that is the host's check.
    fn check_aliases(&self, page: &Page) -> Result<(), VmdkError> {
        for part in &self.parts {
            let PartKind::Sparse { source, extent: Some(sparse) } = &part.kind else { continue };
            for extent in page.extents.iter().filter(|extent| extent.source == *source) {
                let stored = match extent.kind {
                    ExtentKind::Data => ByteRange { offset: extent.source_offset, length: extent.length },
                    ExtentKind::Encoded => ByteRange {
                        offset: extent.source_offset - MARKER,
                        length: MARKER + u64::from(extent.source_length),
                    },
                    ExtentKind::Zero | ExtentKind::Hole => continue,
                };
                if sparse.is_own(stored) {
                    return Err(VmdkError::Aliased(format!(
                        "the disk's bytes at {:#x} lie in the image's own tables (at {:#x} of the file)",
                        extent.offset, stored.offset
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The part of the disk that a sparse extent holds.
#[derive(Clone, Copy)]
struct Window {
    source: u16,
    start: u64,
    end: u64,
}

/// What an entry of a grain table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Hole,
    Zero,
    /// Byte offset of the grain, or of its marker.
    At(u64),
}

impl Sparse {
    /// Understands an entry.
    pub(crate) fn grain(&self, entry: u32) -> Grain {
        match entry {
            0 => Grain::Hole,
            1 if self.header.zero_grains => Grain::Zero,
            other => Grain::At(sector(other)),
        }
    }

    fn fill(
        &mut self,
        map: &mut MapBuilder,
        part: Window,
        max: u32,
        budget: &mut u32,
    ) -> Result<ControlFlow<()>, VmdkError> {
        let span = self.header.span();
        let mut room = to_usize(max.into())?;
        while !map.is_full() && map.cursor() < part.end && *budget > 0 {
            let relative = map.cursor() - part.start;
            let index = to_usize(relative / span)?;
            if self.directory.get(index).is_none_or(|table| *table == 0) {
                let next = self.next_table(index).map_or(part.end, |next| part.start + to_u64(next) * span);
                let flow = map.hole(next.min(part.end) - map.cursor())?;
                if flow.is_break() {
                    return Ok(flow);
                }
                continue;
            }
            let first = to_usize(relative % span / self.header.grain)?;
            let entries: Vec<u32> = le32s(self.table(index, budget)?).skip(first).collect();
            let flow = match self.header.grains {
                Grains::Plain => self.plain(map, part, &entries)?,
                Grains::Framed => {
                    let (flow, stored) = self.framed(map, part, &entries, room.min(MARKERS))?;
                    room -= stored;
                    flow
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
            if room == 0 {
                // Markers that the page has no room for would be read in vain.
                *budget = 0;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn plain(
        &self,
        map: &mut MapBuilder,
        part: Window,
        entries: &[u32],
    ) -> Result<ControlFlow<()>, VmdkError> {
        let file = self.blob.size();
        for entry in entries {
            if map.cursor() >= part.end {
                break;
            }
            let skip = (map.cursor() - part.start) % self.header.grain;
            let rest = (self.header.grain - skip).min(part.end - map.cursor());
            let flow = match self.grain(*entry) {
                Grain::Hole => map.hole(rest)?,
                Grain::Zero => map.zero(rest)?,
                Grain::At(at) if at + skip + rest > file => {
                    return Err(VmdkError::Truncated(format!(
                        "the disk's bytes at {:#x} are at {:#x} of the file, which ends at {file:#x}",
                        map.cursor(),
                        at + skip
                    )));
                }
                Grain::At(at) => map.data(rest, part.source, at + skip)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// As [`Self::plain`], at most `room` stored grains, whose markers are read together; says how
    /// many they were.
    fn framed(
        &self,
        map: &mut MapBuilder,
        part: Window,
        entries: &[u32],
        room: usize,
    ) -> Result<(ControlFlow<()>, usize), VmdkError> {
        let grain = self.header.grain;
        let left = to_usize((part.end.min(map.end()) - map.cursor()).div_ceil(grain))?;
        let mut entries = &entries[..entries.len().min(left)];
        let is_stored = |(_, entry): &(usize, &u32)| matches!(self.grain(**entry), Grain::At(_));
        if let Some((first_too_many, _)) = entries.iter().enumerate().filter(is_stored).nth(room) {
            entries = &entries[..first_too_many];
        }
        let markers = self.markers(entries)?;
        let mut markers = markers.chunks_exact(to_usize(MARKER)?);
        let stored = markers.len();
        for entry in entries {
            let at = map.cursor();
            let skip = (at - part.start) % grain;
            let rest = (grain - skip).min(part.end - at);
            let flow = match self.grain(*entry) {
                Grain::Hole => map.hole(rest)?,
                Grain::Zero => map.zero(rest)?,
                Grain::At(_) if skip != 0 || at + rest > map.end() => {
                    return Err(VmdkError::Request(format!(
                        "the map was asked for a part of the compressed grain around {at:#x}; ask for whole grains"
                    )));
                }
                Grain::At(offset) => {
                    let marker = markers.next().unwrap_or_default();
                    let length = self.stored_length(marker, at - part.start, offset)?;
                    map.encoded(rest, 0, offset + MARKER, length)?
                }
            };
            if flow.is_break() {
                return Ok((flow, stored));
            }
        }
        Ok((ControlFlow::Continue(()), stored))
    }

    /// The markers of all grains that are stored, in order, [`MARKER`] bytes each.
    pub(crate) fn markers(&self, entries: &[u32]) -> Result<Vec<u8>, VmdkError> {
        let mut places = Vec::new();
        for entry in entries {
            let Grain::At(offset) = self.grain(*entry) else { continue };
            if offset + MARKER > self.blob.size() {
                return Err(VmdkError::Truncated(format!(
                    "a grain is at {offset:#x} of the file, which ends at {:#x}",
                    self.blob.size()
                )));
            }
            places.push(offset);
        }
        read_each(self.blob.as_ref(), &places, MARKER)
    }

    /// The length in a marker, when the marker is the one of the grain that begins at `start` of
    /// the disk.
    pub(crate) fn stored_length(&self, marker: &[u8], start: u64, offset: u64) -> Result<u32, VmdkError> {
        let (address, length) = (le64(marker, 0).unwrap_or(u64::MAX), le32(marker, 8).unwrap_or(0));
        if address != start / SECTOR {
            return Err(VmdkError::Table(format!(
                "the grain table places sector {} at {offset:#x} of the file, and the marker there says sector {address}",
                start / SECTOR
            )));
        }
        if length == 0 || u64::from(length) > 2 * self.header.grain + SLACK {
            return Err(VmdkError::Encoded(format!(
                "the grain at {offset:#x} of the file claims to be stored in {length} bytes"
            )));
        }
        let stored = ByteRange { offset: offset + MARKER, length: length.into() };
        if end_of(stored) > self.blob.size() {
            return Err(VmdkError::Truncated(format!(
                "the grain at {offset:#x} of the file has {length} bytes, and the file ends at {:#x}",
                self.blob.size()
            )));
        }
        Ok(length)
    }
}
