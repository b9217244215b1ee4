//! The stored ranges of a layer: no byte may be in two of them. Many ranges are sorted in a scratch
//! file.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use crate::{
    codec::Tail,
    map::{
        extent_map::MapError,
        scratch::{Scratch, ScratchError, ScratchFile, ScratchWriter},
    },
    util::num::to_u64,
};

/// The size of the sector that a unit with a garbage tail may share with its neighbour, in bytes.
const SECTOR: u64 = 512;
/// The size of an interval in a file: its start and its end, 8 bytes each, little endian.
const BYTES: usize = 16;
/// The smallest and the largest number of intervals that are read at once of a sorted part.
const READ: (usize, usize) = (16, 16 << 10);

/// The start and the end of a stored range.
type Interval = (u64, u64);

/// The stored ranges of one source: tables, data and encoded units. No byte may be in two of them.
///
/// Of a unit with a garbage tail, the last sector is left out, because its neighbour may start
/// there; its first byte always counts. It remains possible that units within one sector overlap,
/// which the limit on expansion covers.
///
/// Memory: 16 bytes a range, up to a limit: whenever it is reached, the ranges are sorted and
/// written to a scratch file. In the end the parts are merged, which takes as much memory once
/// more.
pub(super) struct StoredIntervals {
    size: u64,
    scratch: Scratch,
    /// The largest number of intervals in memory.
    room: usize,
    intervals: Vec<Interval>,
    sorted: Option<Sorted>,
}

/// The intervals that are sorted already.
struct Sorted {
    writer: ScratchWriter,
    parts: Vec<Part>,
}

/// Intervals in ascending order.
#[derive(Clone, Copy)]
struct Part {
    /// The offset of the part in the file.
    at: u64,
    count: usize,
    /// The start of the first interval.
    first: u64,
    /// The largest end of an interval.
    end: u64,
    /// The first overlap in the part.
    overlap: Option<u64>,
}

impl StoredIntervals {
    /// Returns an empty set for a source of `size` bytes. `room` is the number of bytes of
    /// intervals that are sorted in memory at once.
    pub(super) fn new(size: u64, scratch: &Scratch, room: usize) -> Self {
        let room = (room / BYTES).max(READ.0);
        Self { size, scratch: scratch.clone(), room, intervals: Vec::new(), sorted: None }
    }

    /// Returns the size of the source in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a range that stores the extent at disk offset `offset`.
    pub(super) fn add(&mut self, offset: u64, at: u64, length: u64, tail: Tail) -> Result<(), MapError> {
        if length == 0 {
            return Ok(());
        }
        let truncated = |stored| MapError::Truncated { offset, stored, size: self.size };
        let end = at.checked_add(length).ok_or(truncated(u64::MAX))?;
        let end = match tail {
            Tail::Exact => end,
            Tail::Garbage => {
                if at >= self.size || end - self.size.min(end) >= SECTOR {
                    return Err(truncated(end));
                }
                ((end - 1) / SECTOR * SECTOR).max(at + 1)
            }
        };
        if end > self.size {
            return Err(truncated(end));
        }
        match self.intervals.last_mut() {
            Some(last) if last.1 == at && tail == Tail::Exact => last.1 = end,
            Some(_) | None => {
                if self.intervals.len() >= self.room {
                    self.put_aside()?;
                }
                self.intervals.push((at, end));
            }
        }
        Ok(())
    }

    /// Sorts what is in memory and writes it to the scratch file.
    fn put_aside(&mut self) -> Result<(), ScratchError> {
        if self.intervals.is_empty() {
            return Ok(());
        }
        let sorted = match &mut self.sorted {
            Some(sorted) => sorted,
            empty @ None => empty.insert(Sorted { writer: self.scratch.create()?, parts: Vec::new() }),
        };
        self.intervals.sort_unstable();
        sorted.parts.push(Part {
            at: sorted.writer.position(),
            count: self.intervals.len(),
            first: self.intervals.first().map_or(0, |interval| interval.0),
            end: self.intervals.iter().map(|interval| interval.1).max().unwrap_or(0),
            overlap: overlap(&self.intervals),
        });
        let mut bytes = Vec::new();
        for some in self.intervals.chunks(READ.1 / BYTES) {
            bytes.clear();
            some.iter().for_each(|(start, end)| {
                bytes.extend(start.to_le_bytes());
                bytes.extend(end.to_le_bytes());
            });
            sorted.writer.append(&bytes)?;
        }
        self.intervals.clear();
        Ok(())
    }

    /// Finds the first byte that is in two ranges. Blocks, and may take seconds.
    pub(super) fn check_disjoint(mut self) -> Result<(), MapError> {
        let overlap = match self.sorted {
            None => {
                self.intervals.sort_unstable();
                overlap(&self.intervals)
            }
            Some(_) => {
                self.put_aside()?;
                let room = self.room;
                let Some(Sorted { writer, parts }) = self.sorted else { return Ok(()) };
                // From here on the memory is for merging.
                drop(self.intervals);
                merged_overlap(&writer.finish()?, parts, room)?
            }
        };
        match overlap {
            Some(stored) => Err(MapError::Aliased { stored }),
            None => Ok(()),
        }
    }
}

/// Returns the start of the first interval that starts before another one ends.
fn overlap(sorted: &[Interval]) -> Option<u64> {
    sorted.windows(2).find(|pair| pair[1].0 < pair[0].1).map(|pair| pair[1].0)
}

/// Does the same over all parts; `room` intervals may be in memory. Disjoint parts, as those of an
/// image that was written in order, are not read once more.
fn merged_overlap(
    file: &ScratchFile,
    mut parts: Vec<Part>,
    room: usize,
) -> Result<Option<u64>, ScratchError> {
    parts.sort_unstable_by_key(|part| part.first);
    let mut rest = parts.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let mut end = first.end;
        let together = 1 + others
            .iter()
            .take_while(|part| {
                let joined = part.first < end;
                end = if joined { end.max(part.end) } else { end };
                joined
            })
            .count();
        let found = match together {
            1 => first.overlap,
            _ => merge(file, &rest[..together], room)?,
        };
        if found.is_some() {
            return Ok(found);
        }
        rest = &rest[together..];
    }
    Ok(None)
}

fn merge(file: &ScratchFile, parts: &[Part], room: usize) -> Result<Option<u64>, ScratchError> {
    let each = (room / parts.len()).clamp(READ.0, READ.1);
    let mut heap = BinaryHeap::with_capacity(parts.len());
    for part in parts {
        let mut reader = PartReader { at: part.at, left: part.count, each, bytes: Vec::new(), used: 0 };
        heap.extend(reader.next(file)?.map(|interval| Reverse(Head { interval, reader })));
    }
    let mut last_end = 0;
    while let Some(mut top) = heap.peek_mut() {
        let (start, end) = top.0.interval;
        if start < last_end {
            return Ok(Some(start));
        }
        last_end = end;
        match top.0.reader.next(file)? {
            Some(interval) => top.0.interval = interval,
            None => drop(PeekMut::pop(top)),
        }
    }
    Ok(None)
}

/// The next interval of a part, and where the others come from.
struct Head {
    interval: Interval,
    reader: PartReader,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.interval == other.interval
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.interval.cmp(&other.interval)
    }
}

/// Reads a part, some intervals at once.
struct PartReader {
    /// The offset and the number of the intervals that are not read yet.
    at: u64,
    left: usize,
    /// The number of intervals that are read at once.
    each: usize,
    bytes: Vec<u8>,
    /// The number of bytes of the buffer that were consumed.
    used: usize,
}

impl PartReader {
    fn next(&mut self, file: &ScratchFile) -> Result<Option<Interval>, ScratchError> {
        if self.used == self.bytes.len() {
            let count = self.left.min(self.each);
            self.bytes.resize(count * BYTES, 0);
            file.read(&mut self.bytes, self.at)?;
            self.at += to_u64(self.bytes.len());
            (self.left, self.used) = (self.left - count, 0);
        }
        let Some(bytes) = self.bytes[self.used..].first_chunk::<BYTES>() else { return Ok(None) };
        self.used += BYTES;
        let [start, end] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_le_bytes(half.try_into().expect("half of 16 bytes")));
        Ok(Some((start, end)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns whether the ranges are disjoint, sorted within so much room.
    fn check(ranges: &[(u64, u64, bool)], room: usize, scratch: &Scratch) -> Result<(), MapError> {
        let mut stored = StoredIntervals::new(1 << 20, scratch, room * BYTES);
        for (at, length, garbage) in ranges {
            stored.add(0, *at, *length, if *garbage { Tail::Garbage } else { Tail::Exact })?;
        }
        stored.check_disjoint()
    }

    /// Ranges that are mostly disjoint: offsets in some order, and a few that may be anywhere.
    fn ranges() -> impl Strategy<Value = Vec<(u64, u64, bool)>> {
        let apart = prop::collection::vec((1..16_u64, any::<bool>()), 0..400).prop_flat_map(|some| {
            let placed: Vec<_> = some
                .iter()
                .zip(0u64..)
                .map(|((length, garbage), number)| {
                    let at = number * 1024;
                    (at, length * if *garbage { 60 } else { 64 }, *garbage)
                })
                .collect();
            prop_oneof![
                Just(placed.clone()),
                Just(placed.clone()).prop_shuffle(),
                Just(placed.into_iter().rev().collect::<Vec<_>>()),
            ]
        });
        let anywhere = prop::collection::vec(
            (0..400_000_u64, 1..2000_u64, any::<bool>(), any::<prop::sample::Index>()),
            0..3,
        );
        (apart, anywhere).prop_map(|(mut ranges, anywhere)| {
            for (at, length, garbage, index) in anywhere {
                ranges.insert(index.index(ranges.len() + 1), (at, length, garbage));
            }
            ranges
        })
    }

    proptest! {
        #[test]
        fn sorted_parts_give_the_same_result_as_one(ranges in ranges(), room in 16..100_usize) {
            let folder = tempfile::tempdir().unwrap();
            let scratch = Scratch::in_folder(folder.path());
            prop_assert_eq!(check(&ranges, room, &scratch), check(&ranges, 100_000, &Scratch::memory_only()));
        }
    }

    #[test]
    fn disjoint_parts_are_not_read_again() {
        let file = ScratchFile::from_file(std::fs::File::open("/dev/null").unwrap());
        let part = |first, overlap| Part { at: 0, count: 100, first, end: first + 100, overlap };
        let apart = vec![part(200, None), part(0, None), part(100, None), part(300, Some(333))];
        assert_eq!(merged_overlap(&file, apart, 100), Ok(Some(333)));
        let across = vec![part(0, None), part(99, None)];
        assert!(merged_overlap(&file, across, 100).is_err(), "there is nothing to read");
    }

    #[test]
    fn without_a_scratch_file_many_ranges_are_an_error() {
        let nowhere = Scratch::in_folder("/nowhere");
        let ranges: Vec<_> = (0..100).map(|number| (number * 1024, 512, false)).collect();
        assert_eq!(check(&ranges, 1000, &nowhere), Ok(()));
        assert_eq!(check(&ranges, 20, &nowhere).unwrap_err().code(), "scratch.open");
    }
}
