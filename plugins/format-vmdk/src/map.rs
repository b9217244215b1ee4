//! The map of the disk: which virtual bytes are where in which file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::{
    format::{
        Budget, ExtentKind, FormatError, MapBuilder, Page,
        wire::{le32s, to_u64, to_usize},
    },
    types::ByteRange,
};

use crate::{
    header::{Grains, MARKER},
    part::{Part, PartKind},
    sparse::{Grain, Sparse},
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
/// Grains whose markers are read at once, at most.
const MARKERS: usize = 512;
/// The price of a stored grain whose marker is read, in entries.
const MARKER_PRICE: u64 = 32;

/// Describes `[start, end)` of the disk that the parts make up, at most `max` extents and a bounded
/// part of the tables a call.
///
/// A compressed grain cannot be cut: `start` and `end` must not lie inside of one. At the end of
/// the disk its extent ends with the disk, although its bytes decode to a whole grain.
pub(crate) fn page(
    parts: &mut [Part],
    size: u64,
    start: u64,
    end: u64,
    max: u32,
) -> Result<Page, FormatError> {
    let end = end.min(size);
    let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
    let mut budget = Budget::of_a_call();
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() && !map.is_full() && budget.is_left() {
        let at = map.cursor();
        let part = parts.iter_mut().find(|part| part.end() > at);
        let part =
            part.ok_or_else(|| FormatError::Request("the map was asked behind the disk".to_owned()))?;
        let rest = part.end() - at;
        flow = match &mut part.kind {
            PartKind::Zero => map.zero(rest)?,
            PartKind::Flat { source, offset } => map.data(rest, *source, *offset + (at - part.start))?,
            PartKind::Sparse { source, extent: Some(sparse) } => {
                let part = Window { source: *source, start: part.start, end: part.start + part.length };
                sparse.fill(&mut map, part, max, &mut budget)?
            }
            PartKind::Sparse { source, extent: None } => {
                return Err(FormatError::ExternalReference(format!(
                    "the disk's bytes from {at:#x} on are in another file (source {source}), which was not granted; grant all files of the disk (imprint disk: --with FILE), or flatten it into one"
                )));
            }
        };
    }
    let page = map.finish();
    check_aliases(parts, &page)?;
    Ok(page)
}

/// No payload lies in the tables of its own file. Whether two extents share bytes is seen only
/// over the whole map: that is the host's check.
fn check_aliases(parts: &[Part], page: &Page) -> Result<(), FormatError> {
    for part in parts {
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
                return Err(FormatError::Aliased(format!(
                    "the disk's bytes at {:#x} are in the image's own tables (at {:#x} of the file)",
                    extent.offset, stored.offset
                )));
            }
        }
    }
    Ok(())
}

/// The part of the disk that a sparse extent holds.
#[derive(Clone, Copy)]
struct Window {
    source: u16,
    start: u64,
    end: u64,
}

impl Sparse {
    fn fill(
        &mut self,
        map: &mut MapBuilder,
        part: Window,
        max: u32,
        budget: &mut Budget,
    ) -> Result<ControlFlow<()>, FormatError> {
        let span = self.header.span();
        let mut room = to_usize(max.into())?;
        while !map.is_full() && map.cursor() < part.end && budget.is_left() {
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
            let entries: Vec<u32> = le32s(self.table(index)?).skip(first).collect();
            budget.spend(self.header.entries);
            let flow = match self.header.grains {
                Grains::Plain => self.plain(map, part, &entries)?,
                Grains::Framed => {
                    let (flow, stored) = self.framed(map, part, &entries, room.min(MARKERS))?;
                    room -= stored;
                    budget.spend(to_u64(stored) * MARKER_PRICE);
                    flow
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
            if room == 0 {
                // Markers that the page has no room for would be read in vain.
                budget.use_up();
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn plain(
        &self,
        map: &mut MapBuilder,
        part: Window,
        entries: &[u32],
    ) -> Result<ControlFlow<()>, FormatError> {
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
                    return Err(FormatError::Truncated(format!(
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
    ) -> Result<(ControlFlow<()>, usize), FormatError> {
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
                    return Err(FormatError::Request(format!(
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
}
