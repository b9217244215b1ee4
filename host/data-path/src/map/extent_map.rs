//! How a virtual disk maps to stored bytes: compact, ordered, without gaps.

mod builder;
mod chunk;
mod error;
mod piece;
mod spilled;

use std::sync::Arc;

use imprint_ports::ByteRange;

use crate::{map::scratch::ScratchFile, util::num::to_u64};
use chunk::Chunk;

pub use builder::MapBuilder;
pub use error::MapError;
pub use piece::{Content, EncodedUnit, Piece};
pub(crate) use spilled::{Entry, Spilled};

/// The map of a virtual disk: every byte of `[0, size)` is in exactly one piece.
///
/// Memory: 32 bytes a run, and 12 bytes an encoded unit, as long as that is at most 2 MiB. A larger
/// map is stored in a scratch file (24 bytes a run and 12 a unit), and takes 24 bytes of memory for
/// each 1024 runs and units, at most 800 KiB with the default limits, and 256 KiB for what was read
/// last.
#[derive(Clone, Debug)]
pub struct ExtentMap {
    size: u64,
    parts: Parts,
    data_bytes: u64,
    encoded_bytes: u64,
    /// Whether the map has holes.
    holes: bool,
    /// The length of the longest run of data, in bytes.
    longest_data: u64,
}

#[derive(Clone, Debug)]
enum Parts {
    Memory(Chunk),
    Scratch(Arc<Spilled>),
}

impl ExtentMap {
    /// Returns the size of the virtual disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the number of virtual bytes that are stored unencoded.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Returns the number of virtual bytes that are stored encoded.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Returns the number of virtual bytes that are stored in either way: the most that an
    /// operation has to move.
    pub fn stored_bytes(&self) -> u64 {
        self.data_bytes + self.encoded_bytes
    }

    /// Returns whether the map has holes.
    pub(crate) fn has_holes(&self) -> bool {
        self.holes
    }

    /// The length of the longest run of data, in bytes.
    pub(crate) fn longest_data(&self) -> u64 {
        self.longest_data
    }

    /// Returns the number of bytes of memory that the map takes.
    pub(crate) fn memory(&self) -> u64 {
        to_u64(match &self.parts {
            Parts::Memory(chunk) => chunk.memory(),
            Parts::Scratch(spilled) => spilled.memory(),
        })
    }

    /// Returns the part in a scratch file, if the map is in one.
    pub(crate) fn scratch(&self) -> Option<&Spilled> {
        match &self.parts {
            Parts::Memory(_) => None,
            Parts::Scratch(spilled) => Some(spilled),
        }
    }

    /// Returns a map in a scratch file that another process has written; `None` when it cannot be
    /// one. `data_bytes` and `encoded_bytes` are its numbers of bytes of data and of encoded units;
    /// holes are resolved in it.
    pub(crate) fn from_scratch(
        file: ScratchFile,
        size: u64,
        data_bytes: u64,
        encoded_bytes: u64,
        entries: impl Iterator<Item = Entry>,
    ) -> Option<Self> {
        data_bytes.checked_add(encoded_bytes).filter(|stored| *stored <= size)?;
        let parts = Parts::Scratch(Arc::new(Spilled::open(file, size, entries)?));
        Some(Self { size, parts, data_bytes, encoded_bytes, holes: false, longest_data: data_bytes })
    }

    /// Returns the pieces of a range in ascending order, cut to it. An encoded unit is one piece;
    /// runs of data are one piece. A failed read from the scratch file of a large map is
    /// [`MapError::Scratch`], and the last item of the iterator.
    pub fn pieces(&self, range: ByteRange) -> Pieces<'_> {
        let ByteRange { offset: at, length } = range;
        let end = at.saturating_add(length).min(self.size);
        match &self.parts {
            Parts::Memory(chunk) => {
                Pieces { source: ChunkSource::Whole(chunk), run: chunk.run_at(at), at, end, chunk_end: end }
            }
            // The chunk is read when the first piece is requested.
            Parts::Scratch(map) => Pieces {
                source: ChunkSource::Part { map, next: map.chunk_at(at), chunk: None },
                run: 0,
                at,
                end,
                chunk_end: at,
            },
        }
    }

    /// Returns all pieces; see [`Self::pieces`].
    pub fn iter(&self) -> Pieces<'_> {
        self.pieces(ByteRange { offset: 0, length: self.size })
    }

    /// Returns how many bytes of a range are stored, as data or encoded.
    pub(crate) fn stored_in(&self, range: ByteRange) -> Result<u64, MapError> {
        self.pieces(range).try_fold(0, |sum, piece| {
            let Piece { range, content } = piece?;
            let stored = matches!(content, Content::Data { .. } | Content::Encoded(_));
            Ok(sum + if stored { range.length } else { 0 })
        })
    }

    /// Returns the first byte at or behind `offset` that is neither zero nor a hole.
    ///
    /// # Errors
    ///
    /// [`MapError::Scratch`], as with [`Self::pieces`].
    pub fn next_stored(&self, offset: u64) -> Result<Option<u64>, MapError> {
        if offset >= self.size {
            return Ok(None);
        }
        let map = match &self.parts {
            Parts::Memory(chunk) => return Ok(chunk.next_stored(offset)),
            Parts::Scratch(map) => map,
        };
        for number in map.chunk_at(offset)..map.chunks() {
            let chunk = map.chunk(number)?;
            if let Some(found) = chunk.next_stored(offset.max(chunk.start)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl<'a> IntoIterator for &'a ExtentMap {
    type Item = Result<Piece, MapError>;
    type IntoIter = Pieces<'a>;

    fn into_iter(self) -> Pieces<'a> {
        self.iter()
    }
}

/// An iterator over the pieces of a range; see [`ExtentMap::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    source: ChunkSource<'a>,
    /// The run that contains `at`.
    run: usize,
    at: u64,
    end: u64,
    /// The end of the current chunk, at most `end`.
    chunk_end: u64,
}

#[derive(Clone, Debug)]
enum ChunkSource<'a> {
    Whole(&'a Chunk),
    /// A chunk of a large map, and the number of the next one.
    Part {
        map: &'a Spilled,
        next: usize,
        chunk: Option<Arc<Chunk>>,
    },
}

impl Pieces<'_> {
    /// Reads the next chunk.
    fn next_chunk(&mut self) -> Result<(), MapError> {
        if let ChunkSource::Part { map, next, chunk } = &mut self.source {
            let read = map.chunk(*next)?;
            *next += 1;
            self.run = read.run_at(self.at);
            self.chunk_end = read.end.min(self.end);
            *chunk = Some(read);
        }
        Ok(())
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece, MapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        if self.at >= self.chunk_end
            && let Err(error) = self.next_chunk()
        {
            self.at = self.end;
            return Some(Err(error));
        }
        let chunk = match &self.source {
            ChunkSource::Whole(chunk) => chunk,
            ChunkSource::Part { chunk, .. } => chunk.as_deref()?,
        };
        let piece = chunk.piece(&mut self.run, self.at, self.chunk_end)?;
        self.at = piece.range.offset + piece.range.length;
        Some(Ok(piece))
    }
}

#[cfg(test)]
mod tests;
