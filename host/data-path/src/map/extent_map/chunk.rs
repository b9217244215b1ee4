//! A part of a map in memory: runs, and the positions of the encoded units in them.

use imprint_ports::ByteRange;

use super::piece::{Content, EncodedUnit, Piece};
use crate::util::num::{to_u64, to_usize};

/// The size of a run in a file: offset (8 bytes, as all numbers little endian), position of the
/// bytes (8) or unit and skip (4 each), source, codec and first (2 each), kind (1), unused (1).
const RUN_BYTES: usize = 24;
/// The size of a unit in a file: all positions (8 bytes each), then all lengths (4 bytes each).
const UNIT_BYTES: usize = 12;

/// A run of pieces of one kind, up to where the next run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) offset: u64,
    pub(super) kind: RunKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunKind {
    Zero,
    Hole,
    Data {
        source: u16,
        at: u64,
    },
    /// Consecutive units of one length; the run starts `skip` bytes into the first, whose position
    /// is `unit_at[first]`.
    Encoded {
        source: u16,
        codec: u16,
        unit: u32,
        skip: u32,
        first: u32,
    },
}

impl RunKind {
    fn is_stored(self) -> bool {
        matches!(self, Self::Data { .. } | Self::Encoded { .. })
    }
}

/// The runs that begin in `[start, end)`, the first of them at `start`, with all of their units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) runs: Vec<Run>,
    pub(super) unit_at: Vec<u64>,
    pub(super) unit_stored: Vec<u32>,
}

impl Chunk {
    /// Returns the number of runs and units.
    pub(super) fn entries(&self) -> usize {
        self.runs.len() + self.unit_at.len()
    }

    /// Returns the number of bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.runs.len() * size_of::<Run>() + self.unit_at.len() * UNIT_BYTES
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.runs.shrink_to_fit();
        self.unit_at.shrink_to_fit();
        self.unit_stored.shrink_to_fit();
    }

    /// Returns the run that contains an offset inside the chunk.
    pub(super) fn run_at(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.offset <= offset).saturating_sub(1)
    }

    fn run_end(&self, run: usize) -> u64 {
        self.runs.get(run + 1).map_or(self.end, |next| next.offset)
    }

    /// Returns the piece at `at`, which is in `run`, cut at `end`. Advances `run` where the piece
    /// is the last of its run.
    pub(super) fn piece(&self, run: &mut usize, at: u64, end: u64) -> Option<Piece> {
        let Run { offset, kind } = *self.runs.get(*run)?;
        let whole = self.run_end(*run);
        let run_end = whole.min(end);
        let into = at - offset;
        let (content, end) = match kind {
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
                    at: self.unit_at[index],
                    stored: self.unit_stored[index],
                    unit,
                    skip: u32::try_from(within).expect("a remainder of a 32-bit division"),
                });
                (content, (at + u64::from(unit) - within).min(run_end))
            }
        };
        if end == whole {
            *run += 1;
        }
        Some(Piece { range: ByteRange { offset: at, length: end - at }, content })
    }

    /// Returns the first byte at or behind `offset`, which is in the chunk, that is neither zero
    /// nor a hole.
    pub(super) fn next_stored(&self, offset: u64) -> Option<u64> {
        let run = self.runs.get(self.run_at(offset)..)?.iter().find(|run| run.kind.is_stored())?;
        Some(run.offset.max(offset))
    }

    /// Appends the chunk in the form that [`Self::decode`] reads.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        self.runs.iter().for_each(|run| into.extend(encode_run(*run)));
        self.unit_at.iter().for_each(|at| into.extend(at.to_le_bytes()));
        self.unit_stored.iter().for_each(|stored| into.extend(stored.to_le_bytes()));
    }

    /// Returns the size of a chunk in a file, in bytes.
    pub(super) fn encoded_length(runs: usize, units: usize) -> usize {
        runs * RUN_BYTES + units * UNIT_BYTES
    }

    /// Decodes a chunk of an untrusted file: `None` unless its runs fill `[start, end)` in
    /// ascending order, and have exactly the units that are there.
    pub(super) fn decode(bytes: &[u8], start: u64, end: u64, runs: usize, units: usize) -> Option<Self> {
        let (run_bytes, rest) = bytes.split_at_checked(runs.checked_mul(RUN_BYTES)?)?;
        let (places, lengths) = rest.split_at_checked(units.checked_mul(8)?)?;
        let chunk = Self {
            start,
            end,
            runs: run_bytes.as_chunks().0.iter().map(decode_run).collect::<Option<_>>()?,
            unit_at: places.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
            unit_stored: lengths.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect(),
        };
        chunk.is_sound().then_some(chunk)
    }

    fn is_sound(&self) -> bool {
        let mut units = 0u64;
        let mut at = self.start;
        for (index, Run { offset, kind }) in self.runs.iter().enumerate() {
            let end = self.run_end(index);
            if *offset != at || end <= at {
                return false;
            }
            match *kind {
                RunKind::Zero | RunKind::Hole => {}
                RunKind::Data { at: stored, .. } => {
                    if stored.checked_add(end - at).is_none() {
                        return false;
                    }
                }
                RunKind::Encoded { unit, skip, first, .. } => {
                    if skip >= unit || u64::from(first) != units {
                        return false;
                    }
                    units = units
                        .saturating_add((end - at).saturating_add(u64::from(skip)).div_ceil(unit.into()));
                }
            }
            at = end;
        }
        at == self.end && units == to_u64(self.unit_at.len()) && units == to_u64(self.unit_stored.len())
    }
}

const ZERO: u8 = 0;
const HOLE: u8 = 1;
const DATA: u8 = 2;
const ENCODED: u8 = 3;

fn encode_run(Run { offset, kind }: Run) -> [u8; RUN_BYTES] {
    let mut bytes = [0; RUN_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &offset.to_le_bytes());
    match kind {
        RunKind::Zero => put(22, &[ZERO]),
        RunKind::Hole => put(22, &[HOLE]),
        RunKind::Data { source, at } => {
            put(8, &at.to_le_bytes());
            put(16, &source.to_le_bytes());
            put(22, &[DATA]);
        }
        RunKind::Encoded { source, codec, unit, skip, first } => {
            let first = u16::try_from(first).expect("a chunk in a file has at most 1024 units");
            put(8, &unit.to_le_bytes());
            put(12, &skip.to_le_bytes());
            put(16, &source.to_le_bytes());
            put(18, &codec.to_le_bytes());
            put(20, &first.to_le_bytes());
            put(22, &[ENCODED]);
        }
    }
    bytes
}

fn decode_run(bytes: &[u8; RUN_BYTES]) -> Option<Run> {
    let half = |at| u16::from_le_bytes(field(bytes, at));
    let whole = |at| u32::from_le_bytes(field(bytes, at));
    let long = |at| u64::from_le_bytes(field(bytes, at));
    let source = half(16);
    let kind = match bytes[22] {
        ZERO => RunKind::Zero,
        HOLE => RunKind::Hole,
        DATA => RunKind::Data { source, at: long(8) },
        ENCODED => RunKind::Encoded {
            source,
            codec: half(18),
            unit: whole(8),
            skip: whole(12),
            first: half(20).into(),
        },
        _ => return None,
    };
    Some(Run { offset: long(0), kind })
}

fn field<const N: usize>(bytes: &[u8; RUN_BYTES], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies in the run")
}
