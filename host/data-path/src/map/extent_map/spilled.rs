//! A large map: chunks of records in a scratch file, and in memory the position of each of them.

use std::sync::{Arc, Mutex};

use super::chunk::{Chunk, Run};
use crate::{
    map::scratch::{ScratchError, ScratchFile, ScratchWriter},
    util::{lock::lock, num::to_u64},
};

/// The largest number of runs and units in a chunk: at most 24 KiB in the file, 32 KiB in memory.
/// Every access to the map reads one, so it is small.
pub(super) const MAX_ENTRIES: usize = 1024;
/// The number of chunks that are cached after they were read: threads that work side by side need
/// the same ones.
const CACHED: usize = 8;

/// A chunk in the file. The chunks follow each other, and each ends where the next one starts, on
/// the disk too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The virtual offset of its start.
    pub(crate) start: u64,
    /// The number of runs in it.
    pub(crate) runs: u16,
    /// The number of units in it.
    pub(crate) units: u16,
}

#[derive(Clone, Copy, Debug)]
struct Indexed {
    entry: Entry,
    /// Its offset in the file.
    at: u64,
}

impl Entry {
    fn of(chunk: &Chunk) -> Self {
        let count = |length| u16::try_from(length).expect("a chunk has at most 1024 entries");
        Self { start: chunk.start, runs: count(chunk.runs.len()), units: count(chunk.unit_at.len()) }
    }

    fn length(self) -> usize {
        Chunk::encoded_length(self.runs.into(), self.units.into())
    }
}

/// Writes chunk after chunk.
#[derive(Debug)]
pub(super) struct Spilling {
    writer: ScratchWriter,
    index: Vec<Indexed>,
    bytes: Vec<u8>,
}

impl Spilling {
    pub(super) fn new(writer: ScratchWriter) -> Self {
        Self { writer, index: Vec::new(), bytes: Vec::new() }
    }

    /// Adds the chunk that begins where the last one ends.
    pub(super) fn push(&mut self, chunk: &Chunk) -> Result<(), ScratchError> {
        self.bytes.clear();
        chunk.encode(&mut self.bytes);
        self.index.push(Indexed { entry: Entry::of(chunk), at: self.writer.position() });
        self.writer.append(&self.bytes)
    }

    /// Returns the whole map of `size` bytes.
    pub(super) fn finish(self, size: u64) -> Result<Spilled, ScratchError> {
        let Self { writer, mut index, .. } = self;
        index.shrink_to_fit();
        Ok(Spilled { file: writer.finish()?, index, size, cache: Mutex::default() })
    }
}

type Cached = [Option<(usize, Arc<Chunk>)>; CACHED];

/// A map in a scratch file.
#[derive(Debug)]
pub(crate) struct Spilled {
    file: ScratchFile,
    /// Never empty: a map without runs is in memory.
    index: Vec<Indexed>,
    size: u64,
    cache: Mutex<Cached>,
}

impl Spilled {
    /// Returns a map of `size` bytes that another process has written; `None` unless the chunks are
    /// in order. Each of them is checked when it is read.
    pub(crate) fn open(file: ScratchFile, size: u64, entries: impl Iterator<Item = Entry>) -> Option<Self> {
        let mut index: Vec<Indexed> = Vec::new();
        let mut at = 0;
        for entry in entries {
            let in_order = match index.last() {
                Some(last) => last.entry.start < entry.start,
                None => entry.start == 0,
            };
            let entries = usize::from(entry.runs) + usize::from(entry.units);
            if !in_order || entry.start >= size || entry.runs == 0 || entries > MAX_ENTRIES {
                return None;
            }
            index.push(Indexed { entry, at });
            at += to_u64(entry.length());
        }
        (!index.is_empty()).then(|| Self { file, index, size, cache: Mutex::default() })
    }

    /// Returns the chunks' positions and contents.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + '_ {
        self.index.iter().map(|indexed| indexed.entry)
    }

    /// Returns the file, open for reading only.
    pub(crate) fn file(&self) -> &ScratchFile {
        &self.file
    }

    /// Returns the number of bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.index.len() * size_of::<Indexed>() + CACHED * MAX_ENTRIES * size_of::<Run>()
    }

    pub(super) fn chunks(&self) -> usize {
        self.index.len()
    }

    /// Returns the number of the chunk that contains an offset inside the disk.
    pub(super) fn chunk_at(&self, offset: u64) -> usize {
        self.index.partition_point(|indexed| indexed.entry.start <= offset).saturating_sub(1)
    }

    /// Returns a chunk, from the cache or from the file.
    pub(super) fn chunk(&self, number: usize) -> Result<Arc<Chunk>, ScratchError> {
        let slot = number % CACHED;
        let cache = || lock(&self.cache);
        if let Some((_, chunk)) = cache()[slot].as_ref().filter(|(cached, _)| *cached == number) {
            return Ok(chunk.clone());
        }
        let chunk = Arc::new(self.read(number)?);
        cache()[slot] = Some((number, chunk.clone()));
        Ok(chunk)
    }

    fn read(&self, number: usize) -> Result<Chunk, ScratchError> {
        let Indexed { entry, at } = self.index[number];
        let end = self.index.get(number + 1).map_or(self.size, |next| next.entry.start);
        let mut bytes = vec![0; entry.length()];
        self.file.read(&mut bytes, at)?;
        Chunk::decode(&bytes, entry.start, end, entry.runs.into(), entry.units.into())
            .ok_or_else(|| self.file.damaged())
    }
}
