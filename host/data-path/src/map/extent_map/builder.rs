//! Making a map.

use std::sync::Arc;

use imprint_ports::ByteRange;

use super::{
    ExtentMap, Parts,
    chunk::{Chunk, Run, RunKind},
    error::MapError,
    piece::{Content, EncodedUnit, Piece},
    spilled::{MAX_ENTRIES, Spilling},
};
use crate::map::scratch::Scratch;

/// Builds a map from pieces that come in ascending order without gaps, merging neighbours.
///
/// Memory: that of the finished map, twice while it grows; at most a few MiB, because more than
/// that goes to a scratch file.
#[derive(Debug)]
pub struct MapBuilder {
    size: u64,
    limit: u64,
    scratch: Scratch,
    at: u64,
    /// The number of runs and units so far. A run that is in two chunks counts once.
    entries: u64,
    /// The whole map, or its last chunk.
    chunk: Chunk,
    /// The chunks before it, in a scratch file.
    spilling: Option<Spilling>,
    data_bytes: u64,
    encoded_bytes: u64,
    holes: bool,
    longest_data: u64,
}

impl MapBuilder {
    /// Returns a builder for a disk of `size` bytes and at most `limit` runs and encoded units.
    pub fn new(size: u64, limit: u64) -> Self {
        Self {
            size,
            limit: limit.min(u64::from(u32::MAX)),
            scratch: Scratch::default(),
            at: 0,
            entries: 0,
            chunk: Chunk::default(),
            spilling: None,
            data_bytes: 0,
            encoded_bytes: 0,
            holes: false,
            longest_data: 0,
        }
    }

    /// Sets where a map goes that becomes too large for memory.
    #[must_use]
    pub fn with_scratch(self, scratch: &Scratch) -> Self {
        Self { scratch: scratch.clone(), ..self }
    }

    /// Returns the size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the first byte that no piece describes yet.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns whether the map would be in a scratch file by now, if files may be created.
    pub(crate) fn is_large(&self) -> bool {
        self.spilling.is_some() || self.chunk.memory() > self.scratch.memory_limit()
    }

    /// Adds the next piece.
    ///
    /// # Errors
    ///
    /// [`MapError::Order`] for a piece that does not start where the last one ended,
    /// [`MapError::EncodedLength`] for a unit that cannot be one, [`MapError::Extents`] beyond the
    /// limit, and [`MapError::Scratch`].
    pub fn push(&mut self, piece: Piece) -> Result<(), MapError> {
        let ByteRange { offset, length } = piece.range;
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let (Some(end), true) = (end, offset == self.at && length > 0) else {
            return Err(MapError::Order { offset });
        };
        match piece.content {
            Content::Zero => self.push_run(offset, RunKind::Zero, |last| matches!(last, RunKind::Zero))?,
            Content::Hole => self.push_run(offset, RunKind::Hole, |last| matches!(last, RunKind::Hole))?,
            Content::Data { source, at } => {
                let start = self.chunk.runs.last().map_or(0, |run| run.offset);
                self.push_run(offset, RunKind::Data { source, at }, |last| {
                    matches!(last, RunKind::Data { source: s, at: a } if s == source && a.checked_add(offset - start) == Some(at))
                })?;
                self.data_bytes += length;
            }
            Content::Encoded(unit) => self.push_encoded(offset, length, unit)?,
        }
        self.at = end;
        if self.entries > self.limit {
            return Err(MapError::Extents { limit: self.limit });
        }
        Ok(())
    }

    /// Adds one piece of `content` up to `end`, if that is not reached yet.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn push_until(&mut self, end: u64, content: Content) -> Result<(), MapError> {
        match end.checked_sub(self.at) {
            Some(length) if length > 0 => {
                self.push(Piece { range: ByteRange { offset: self.at, length }, content })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the map.
    ///
    /// # Errors
    ///
    /// [`MapError::Order`] where a part of the disk is not described, and [`MapError::Scratch`].
    pub fn finish(mut self) -> Result<ExtentMap, MapError> {
        if self.at != self.size {
            return Err(MapError::Order { offset: self.at });
        }
        self.end_run(self.size);
        let Self { size, mut chunk, spilling, data_bytes, encoded_bytes, holes, longest_data, .. } = self;
        chunk.end = size;
        let parts = match spilling {
            None => {
                chunk.shrink_to_fit();
                Parts::Memory(chunk)
            }
            Some(mut spilling) => {
                spilling.push(&chunk)?;
                Parts::Scratch(Arc::new(spilling.finish(size)?))
            }
        };
        Ok(ExtentMap { size, parts, data_bytes, encoded_bytes, holes, longest_data })
    }

    fn push_run(
        &mut self,
        offset: u64,
        kind: RunKind,
        extends: impl Fn(RunKind) -> bool,
    ) -> Result<(), MapError> {
        if self.chunk.runs.last().is_some_and(|last| extends(last.kind)) {
            return Ok(());
        }
        self.make_room(offset)?;
        self.add_run(Run { offset, kind });
        Ok(())
    }

    fn push_encoded(&mut self, offset: u64, length: u64, new: EncodedUnit) -> Result<(), MapError> {
        let EncodedUnit { source, codec, at, stored, unit, skip } = new;
        if unit == 0 || u64::from(skip) + length > u64::from(unit) {
            return Err(MapError::EncodedLength { offset });
        }
        let extends = self.chunk.runs.last().is_some_and(|last| match last.kind {
            RunKind::Encoded { source: s, codec: c, unit: u, skip: first_skip, first: _ } => {
                (s, c, u, skip) == (source, codec, unit, 0)
                    && (offset - last.offset + u64::from(first_skip)).is_multiple_of(u64::from(unit))
            }
            RunKind::Zero | RunKind::Hole | RunKind::Data { .. } => false,
        });
        self.make_room(offset)?;
        let is_new = self.chunk.runs.is_empty();
        if !extends || is_new {
            let first = u32::try_from(self.chunk.unit_at.len())
                .map_err(|_| MapError::Extents { limit: self.limit })?;
            self.add_run(Run { offset, kind: RunKind::Encoded { source, codec, unit, skip, first } });
            // A run that continues in another chunk is the same one.
            self.entries -= u64::from(extends);
        }
        self.chunk.unit_at.push(at);
        self.chunk.unit_stored.push(stored);
        self.entries += 1;
        self.encoded_bytes += length;
        Ok(())
    }

    fn add_run(&mut self, run: Run) {
        self.end_run(run.offset);
        self.holes |= run.kind == RunKind::Hole;
        self.chunk.runs.push(run);
        self.entries += 1;
    }

    /// Records the length of the last run, which ends here.
    fn end_run(&mut self, end: u64) {
        if let Some(Run { offset, kind: RunKind::Data { .. } }) = self.chunk.runs.last() {
            self.longest_data = self.longest_data.max(end - offset);
        }
    }

    /// Makes room before a run or a unit is added at `offset`: the chunk goes to the scratch file,
    /// if it is large enough.
    fn make_room(&mut self, offset: u64) -> Result<(), MapError> {
        let too_much = self.chunk.memory() > self.scratch.memory_limit() && self.scratch.has_files();
        if self.spilling.is_none() && too_much {
            self.spill(offset)?;
        }
        // Room for a run and a unit.
        if self.spilling.is_some() && self.chunk.entries() + 2 > MAX_ENTRIES {
            self.end_run(offset);
            self.chunk.end = offset;
            let full = std::mem::replace(&mut self.chunk, Chunk { start: offset, ..Chunk::default() });
            self.spilling.as_mut().map_or(Ok(()), |spilling| spilling.push(&full))?;
        }
        Ok(())
    }

    /// Moves the map from memory to a scratch file, in chunks of the file's size.
    fn spill(&mut self, end: u64) -> Result<(), MapError> {
        let spilling = Spilling::new(self.scratch.create()?);
        let whole = std::mem::take(&mut self.chunk);
        let whole = Chunk { end, ..whole };
        self.spilling = Some(spilling);
        // All of it is counted once more, up to the piece that is added now.
        (self.at, self.entries, self.data_bytes, self.encoded_bytes) = (0, 0, 0, 0);
        let mut run = 0;
        while let Some(piece) = whole.piece(&mut run, self.at, end) {
            self.push(piece)?;
        }
        Ok(())
    }
}

impl ExtentMap {
    /// Returns this map over another one: where this one has holes, the other answers, and zeroes
    /// behind the other's end. Indices of sources and codecs are kept as they are.
    pub(crate) fn over(&self, below: &Self, limit: u64, scratch: &Scratch) -> Result<Self, MapError> {
        let mut flat = MapBuilder::new(self.size, limit).with_scratch(scratch);
        for piece in self {
            let piece = piece?;
            if piece.content != Content::Hole {
                flat.push(piece)?;
                continue;
            }
            let end = piece.range.offset + piece.range.length;
            if piece.range.offset < below.size {
                below.pieces(piece.range).try_for_each(|piece| flat.push(piece?))?;
            }
            flat.push_until(end, Content::Zero)?;
        }
        flat.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::num::to_u64;

    #[test]
    fn a_run_in_two_chunks_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_folder(folder.path()).with_limits(100, 100);
        let units = to_u64(MAX_ENTRIES) * 3;
        let fill = |limit| {
            let mut builder = MapBuilder::new(units * 8, limit).with_scratch(&scratch);
            for at in 0..units {
                let unit = EncodedUnit { source: 0, codec: 0, at: at * 5, stored: 4, unit: 8, skip: 0 };
                let range = ByteRange { offset: at * 8, length: 8 };
                builder.push(Piece { range, content: Content::Encoded(unit) })?;
            }
            builder.finish()
        };
        let map = fill(units + 1).unwrap();
        assert!(map.scratch().is_some_and(|spilled| spilled.entries().len() >= 3));
        assert_eq!(fill(units).unwrap_err(), MapError::Extents { limit: units });
    }
}
