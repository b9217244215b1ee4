//! How a virtual disk maps to stored bytes: compact, ordered, without gaps.

use crate::{
    num::{to_u64, to_usize},
    ports::{ByteRange, ErrorClass},
};

/// Why a map is refused. The messages speak of offsets in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The page is not ascending, has a gap, or leaves the range that was asked for.
    #[error(
        "the format plugin's map is out of order at disk offset {offset}; report this to the plugin's author"
    )]
    Order {
        /// Virtual offset where it breaks.
        offset: u64,
    },
    /// The page does not get on, or is longer than asked for.
    #[error(
        "the format plugin's map makes no progress at disk offset {offset}; report this to the plugin's author"
    )]
    Stuck {
        /// Virtual offset where it stands.
        offset: u64,
    },
    /// The page names a source or a codec that the image does not list.
    #[error(
        "the format plugin's map names an unknown {what} at disk offset {offset}; report this to the plugin's author"
    )]
    UnknownIndex {
        /// `source` or `codec`.
        what: &'static str,
        /// Virtual offset of the extent.
        offset: u64,
    },
    /// Encoded extents that no format has.
    #[error(
        "a compressed unit at disk offset {offset} has an impossible length; the image is damaged or hostile"
    )]
    EncodedLength {
        /// Virtual offset of the extent.
        offset: u64,
    },
    /// The map points behind the end of the file.
    #[error(
        "the image is cut off: disk offset {offset} is stored at {stored}, behind the end of the file at {size}; fetch it again"
    )]
    Truncated {
        /// Virtual offset, or 0 for tables.
        offset: u64,
        /// End of the stored range.
        stored: u64,
        /// Size of the file.
        size: u64,
    },
    /// Two extents, or an extent and a table, share stored bytes.
    #[error("the image uses the bytes at file offset {stored} more than once; it is damaged or hostile")]
    Aliased {
        /// File offset of the shared bytes.
        stored: u64,
    },
    /// The disk is larger than allowed.
    #[error(
        "the disk has {size} bytes, more than the limit of {limit}; raise the limit or use a smaller disk"
    )]
    VirtualSize {
        /// Of the disk.
        size: u64,
        /// Allowed.
        limit: u64,
    },
    /// The map has more pieces than allowed.
    #[error(
        "the image's map has more than {limit} pieces; rewrite the image with larger clusters or raise the limit"
    )]
    Extents {
        /// Allowed.
        limit: u64,
    },
    /// The compressed data expands more than allowed.
    #[error("the image expands more than {limit} times; it is hostile, or the limit must be raised for it")]
    Expansion {
        /// Allowed.
        limit: u64,
    },
}

impl MapError {
    /// Dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Order { .. } => "plugin.map-order",
            Self::Stuck { .. } => "plugin.map-stuck",
            Self::UnknownIndex { .. } => "plugin.map-index",
            Self::EncodedLength { .. } => "corrupt.encoded-length",
            Self::Truncated { .. } => "corrupt.truncated",
            Self::Aliased { .. } => "corrupt.aliased",
            Self::VirtualSize { .. } => "limit.virtual-size",
            Self::Extents { .. } => "limit.extents",
            Self::Expansion { .. } => "limit.expansion",
        }
    }

    /// What the caller may do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Order { .. } | Self::Stuck { .. } | Self::UnknownIndex { .. } => ErrorClass::Internal,
            Self::EncodedLength { .. } | Self::Truncated { .. } | Self::Aliased { .. } => ErrorClass::Corrupt,
            Self::VirtualSize { .. } | Self::Extents { .. } | Self::Expansion { .. } => {
                ErrorClass::LimitExceeded
            }
        }
    }
}

/// One encoded unit, as a piece of a map refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedUnit {
    /// Index into the disk's sources.
    pub source: u16,
    /// Index into the disk's codecs.
    pub codec: u16,
    /// Where the encoded bytes start.
    pub at: u64,
    /// How many they are, at most.
    pub stored: u32,
    /// Length of the decoded unit.
    pub unit: u32,
    /// Where in the decoded unit the piece begins.
    pub skip: u32,
}

/// What a piece of a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Zero,
    /// Nothing of its own: the parent answers, or zeroes where there is none.
    Hole,
    /// Bytes as they are stored.
    Data {
        /// Index into the disk's sources.
        source: u16,
        /// Where the bytes start.
        at: u64,
    },
    /// (A part of) an encoded unit.
    Encoded(EncodedUnit),
}

/// A piece of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where, in the virtual disk.
    pub range: ByteRange,
    /// What it holds.
    pub content: Content,
}

/// A run of pieces of one kind, up to where the next run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    offset: u64,
    kind: RunKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunKind {
    Zero,
    Hole,
    Data {
        source: u16,
        at: u64,
    },
    /// Consecutive units of one length; the run begins `skip` bytes into the first, whose place is `units[first]`.
    Encoded {
        source: u16,
        codec: u16,
        unit: u32,
        skip: u32,
        first: u32,
    },
}

/// The map of a virtual disk: every byte of `[0, size)` lies in exactly one piece.
///
/// Memory: 32 bytes a run, and 12 bytes an encoded unit.
#[derive(Clone, Debug)]
pub struct ExtentMap {
    size: u64,
    runs: Vec<Run>,
    unit_at: Vec<u64>,
    unit_stored: Vec<u32>,
    data_bytes: u64,
    encoded_bytes: u64,
}

impl ExtentMap {
    /// Bytes of the virtual disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Virtual bytes that are stored as they are.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Virtual bytes that are stored encoded.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Virtual bytes that are stored in either way: what a job has to move at most.
    pub fn stored_bytes(&self) -> u64 {
        self.data_bytes + self.encoded_bytes
    }

    /// Bytes of memory that the map takes.
    pub(crate) fn memory(&self) -> u64 {
        to_u64(self.runs.len() * size_of::<Run>() + self.unit_at.len() * 12)
    }

    /// The pieces of a range in ascending order, cut to it. An encoded unit is one piece; runs of data are one piece.
    pub fn pieces(&self, range: ByteRange) -> Pieces<'_> {
        let end = range.offset.saturating_add(range.length).min(self.size);
        Pieces { map: self, run: self.run_at(range.offset), at: range.offset, end }
    }

    /// The first byte at or behind `offset` that is neither zero nor hole.
    pub fn next_stored(&self, offset: u64) -> Option<u64> {
        let first = self.run_at(offset);
        let run = self
            .runs
            .get(first..)?
            .iter()
            .find(|run| matches!(run.kind, RunKind::Data { .. } | RunKind::Encoded { .. }))?;
        let found = run.offset.max(offset);
        (found < self.size).then_some(found)
    }

    /// This map over another one: where this one has holes, the other answers, and zeroes behind the other's end. Indices
    /// of sources and codecs are kept as they are.
    pub(crate) fn over(&self, below: &Self, limit: u64) -> Result<Self, MapError> {
        let mut flat = MapBuilder::new(self.size, limit);
        for piece in self.pieces(ByteRange { offset: 0, length: self.size }) {
            if piece.content != Content::Hole {
                flat.push(piece)?;
                continue;
            }
            let end = piece.range.offset + piece.range.length;
            if piece.range.offset < below.size {
                below.pieces(piece.range).try_for_each(|piece| flat.push(piece))?;
            }
            flat.push_until(end, Content::Zero)?;
        }
        flat.finish()
    }

    fn run_at(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.offset <= offset).saturating_sub(1)
    }

    fn run_end(&self, run: usize) -> u64 {
        self.runs.get(run + 1).map_or(self.size, |next| next.offset)
    }
}

/// Iterator over the pieces of a range; see [`ExtentMap::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    map: &'a ExtentMap,
    run: usize,
    at: u64,
    end: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let run = self.map.runs.get(self.run)?;
        let run_end = self.map.run_end(self.run).min(self.end);
        let into = self.at - run.offset;
        let (content, end) = match run.kind {
            RunKind::Zero => (Content::Zero, run_end),
            RunKind::Hole => (Content::Hole, run_end),
            RunKind::Data { source, at } => (Content::Data { source, at: at + into }, run_end),
            RunKind::Encoded { source, codec, unit, skip, first } => {
                let position = into + u64::from(skip);
                let index = to_usize(u64::from(first) + position / u64::from(unit));
                let within = position % u64::from(unit);
                let content = Content::Encoded(EncodedUnit {
                    source,
                    codec,
                    at: self.map.unit_at[index],
                    stored: self.map.unit_stored[index],
                    unit,
                    skip: u32::try_from(within).expect("a remainder of a 32-bit division"),
                });
                (content, (self.at + u64::from(unit) - within).min(run_end))
            }
        };
        let piece = Piece { range: ByteRange { offset: self.at, length: end - self.at }, content };
        self.at = end;
        if end == self.map.run_end(self.run) {
            self.run += 1;
        }
        Some(piece)
    }
}

/// Builds a map from pieces that come in ascending order without gaps, merging neighbours.
#[derive(Debug)]
pub struct MapBuilder {
    map: ExtentMap,
    at: u64,
    limit: u64,
}

impl MapBuilder {
    /// For a disk of `size` bytes and at most `limit` runs and encoded units.
    pub fn new(size: u64, limit: u64) -> Self {
        let map = ExtentMap {
            size,
            runs: Vec::new(),
            unit_at: Vec::new(),
            unit_stored: Vec::new(),
            data_bytes: 0,
            encoded_bytes: 0,
        };
        Self { map, at: 0, limit: limit.min(u64::from(u32::MAX)) }
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.map.size
    }

    /// The first byte that no piece describes yet.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Adds the next piece.
    pub fn push(&mut self, piece: Piece) -> Result<(), MapError> {
        let ByteRange { offset, length } = piece.range;
        let end = offset.checked_add(length).filter(|end| *end <= self.map.size);
        let (Some(end), true) = (end, offset == self.at && length > 0) else {
            return Err(MapError::Order { offset });
        };
        match piece.content {
            Content::Zero => self.push_run(offset, RunKind::Zero, |last| matches!(last, RunKind::Zero)),
            Content::Hole => self.push_run(offset, RunKind::Hole, |last| matches!(last, RunKind::Hole)),
            Content::Data { source, at } => {
                self.map.data_bytes += length;
                let start = self.map.runs.last().map_or(0, |run| run.offset);
                self.push_run(offset, RunKind::Data { source, at }, |last| {
                    matches!(last, RunKind::Data { source: s, at: a } if s == source && a.checked_add(offset - start) == Some(at))
                });
            }
            Content::Encoded(unit) => self.push_encoded(offset, length, unit)?,
        }
        self.at = end;
        if to_u64(self.map.runs.len() + self.map.unit_at.len()) > self.limit {
            return Err(MapError::Extents { limit: self.limit });
        }
        Ok(())
    }

    /// Fills up to `end`, if it is not reached yet.
    pub fn push_until(&mut self, end: u64, content: Content) -> Result<(), MapError> {
        match end.checked_sub(self.at) {
            Some(length) if length > 0 => {
                self.push(Piece { range: ByteRange { offset: self.at, length }, content })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The map, when all of the disk is described.
    pub fn finish(mut self) -> Result<ExtentMap, MapError> {
        if self.at != self.map.size {
            return Err(MapError::Order { offset: self.at });
        }
        self.map.runs.shrink_to_fit();
        self.map.unit_at.shrink_to_fit();
        self.map.unit_stored.shrink_to_fit();
        Ok(self.map)
    }

    fn push_run(&mut self, offset: u64, kind: RunKind, extends: impl Fn(RunKind) -> bool) {
        if !self.map.runs.last().is_some_and(|last| extends(last.kind)) {
            self.map.runs.push(Run { offset, kind });
        }
    }

    fn push_encoded(&mut self, offset: u64, length: u64, new: EncodedUnit) -> Result<(), MapError> {
        let EncodedUnit { source, codec, at, stored, unit, skip } = new;
        if unit == 0 || u64::from(skip) + length > u64::from(unit) {
            return Err(MapError::EncodedLength { offset });
        }
        self.map.encoded_bytes += length;
        let extends = self.map.runs.last().is_some_and(|last| match last.kind {
            RunKind::Encoded { source: s, codec: c, unit: u, skip: first_skip, first: _ } => {
                (s, c, u, skip) == (source, codec, unit, 0)
                    && (offset - last.offset + u64::from(first_skip)).is_multiple_of(u64::from(unit))
            }
            RunKind::Zero | RunKind::Hole | RunKind::Data { .. } => false,
        });
        if !extends {
            let first =
                u32::try_from(self.map.unit_at.len()).map_err(|_| MapError::Extents { limit: self.limit })?;
            self.map.runs.push(Run { offset, kind: RunKind::Encoded { source, codec, unit, skip, first } });
        }
        self.map.unit_at.push(at);
        self.map.unit_stored.push(stored);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
