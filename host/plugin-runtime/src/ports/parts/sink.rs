//! The sink: parts that are being filled, and the threads that send those that are complete.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use imprint_ports::{BlockSink, ByteRange, PortError};

use super::{filled::Filled, plan::Plan};
use crate::{codes::Code, net::Payload, sync};

#[cfg(test)]
mod tests;

/// Sends parts to the server.
pub(super) trait SendPart: Send + Sync {
    /// Sends a part and records the answer. Blocks.
    fn send(&self, number: u32, bytes: Payload<'_>) -> Result<(), PortError>;

    /// Returns the ranges of the parts that an earlier process sent.
    fn kept(&self) -> Vec<ByteRange>;

    /// Takes over one of them, with its length, whatever its bytes are; `false` if it is none.
    fn keep(&self, number: u32, length: u64) -> bool;

    /// Returns whether the upload was cancelled.
    fn is_cancelled(&self) -> bool;
}

/// An upload in parts, open for writing.
pub(super) struct PartSink {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    sender: Box<dyn SendPart>,
    plan: Plan,
    state: Mutex<State>,
    /// Something of the state has changed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The parts that are being filled.
    open: BTreeMap<u32, OpenPart>,
    /// The parts that are complete and wait for a thread.
    queue: VecDeque<(u32, Complete)>,
    /// The buffers that are in use outside of this state and come back: of parts that are being
    /// sent, or read from their files.
    away: usize,
    /// The parts that are complete, sent or not.
    complete: BTreeSet<u32>,
    /// Buffers that can be used again.
    free: Vec<Vec<u8>>,
    /// The buffers that exist.
    buffers: usize,
    size: Option<u64>,
    failed: Option<PortError>,
    /// No further part comes: the threads end when the queue is empty.
    closed: bool,
}

struct OpenPart {
    bytes: PartBytes,
    filled: Filled,
}

/// A part that is to be sent.
enum Complete {
    Memory(Vec<u8>),
    /// A large one, with its length.
    File(File, u64),
}

impl Complete {
    fn payload(&self) -> Payload<'_> {
        match self {
            Self::Memory(bytes) => bytes.as_slice().into(),
            Self::File(file, length) => Payload::File(file, *length),
        }
    }
}

enum PartBytes {
    Memory(Vec<u8>),
    /// In a file without a name.
    Waiting(File),
}

impl Drop for PartSink {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        // What was not finished is given up: the upload is aborted or cleaned up by its token.
        state.queue.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends complete parts until there are no more.
    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some((number, part)) = state.queue.pop_front() {
                state.away += 1;
                drop(state);
                // A thread that just ended would be waited for without an end.
                let sent = catch_unwind(AssertUnwindSafe(|| self.sender.send(number, part.payload())));
                let outcome = sent.unwrap_or_else(|_| {
                    Err(Code::UploadStatus.error(format!("sending part {number} of the upload panicked")))
                });
                state = self.state();
                state.away -= 1;
                if let Complete::Memory(bytes) = part {
                    state.free.push(bytes);
                }
                if let Err(error) = outcome {
                    state.failed.get_or_insert(error);
                    state.queue.clear();
                }
                self.changed.notify_all();
            } else if state.closed || state.failed.is_some() {
                return;
            } else {
                state = self.wait(state);
            }
        }
    }
}

fn failure(error: &PortError) -> io::Error {
    error.clone().into()
}

impl PartSink {
    /// Starts the threads that send parts.
    pub(super) fn start(sender: Box<dyn SendPart>, plan: Plan) -> Result<Self, PortError> {
        let shared = Arc::new(Shared { sender, plan, state: Mutex::default(), changed: Condvar::new() });
        let mut threads = Vec::new();
        for _ in 0..plan.parallel {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("upload".to_owned()).spawn(move || shared.run());
            threads.push(
                thread.map_err(|error| Code::Busy.error(format!("no thread for the upload: {error}")))?,
            );
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    fn number(&self, offset: u64) -> io::Result<(u32, usize)> {
        let size = u64::try_from(self.plan().part_size).map_err(io::Error::other)?;
        let number = u32::try_from(offset / size + 1).unwrap_or(u32::MAX);
        if number > self.plan().max_parts {
            let most = u64::from(self.plan().max_parts).saturating_mul(size);
            return Err(failure(&Code::BadParts.error(format!(
                "the upload has more than the {most} bytes that its parts were planned for; upload it again with the right size"
            ))));
        }
        Ok((number, usize::try_from(offset % size).map_err(io::Error::other)?))
    }

    /// Takes the bytes of one part; `None` stands for zeroes.
    fn fill(&self, number: u32, start: usize, length: usize, bytes: Option<&[u8]>) -> io::Result<()> {
        let mut state = self.shared.state();
        loop {
            self.check(&state)?;
            if state.complete.contains(&number) {
                return Err(io::Error::new(
                    io::ErrorKind::NotSeekable,
                    format!("part {number} of the upload is complete already"),
                ));
            }
            if state.open.contains_key(&number) {
                break;
            }
            if let Some(bytes) = self.room(&mut state)? {
                state.open.insert(number, OpenPart { bytes, filled: Filled::default() });
                break;
            }
            state = self.shared.wait(state);
        }
        let part = state.open.get_mut(&number).ok_or_else(|| io::Error::other("the part was just opened"))?;
        match (&mut part.bytes, bytes) {
            (PartBytes::Memory(memory), Some(bytes)) => memory[start..start + length].copy_from_slice(bytes),
            (PartBytes::Memory(memory), None) => memory[start..start + length].fill(0),
            (PartBytes::Waiting(file), Some(bytes)) => file.write_all_at(bytes, offset(start))?,
            // The file is sparse there.
            (PartBytes::Waiting(_), None) => {}
        }
        part.filled.add(start, start + length);
        let size = self.plan().part_size;
        if part.filled.is_full(size) {
            self.complete(state, number, size)?;
        }
        Ok(())
    }

    /// Fails when the upload has.
    fn check(&self, state: &State) -> io::Result<()> {
        if let Some(error) = &state.failed {
            return Err(failure(error));
        }
        if self.shared.sender.is_cancelled() {
            return Err(failure(&PortError::cancelled()));
        }
        Ok(())
    }

    /// Returns room for a new part; `None` when there will be some.
    fn room(&self, state: &mut State) -> io::Result<Option<PartBytes>> {
        if self.plan().in_files() {
            // One more than are sent: the disk has room for these, and the server is kept busy.
            let wait = state.queue.len() + state.away > self.plan().parallel;
            return if wait { Ok(None) } else { Ok(Some(PartBytes::Waiting(tempfile::tempfile()?))) };
        }
        let memory = self.buffer(state)?;
        Ok(memory.map(|mut memory| {
            memory.resize(self.plan().part_size, 0);
            PartBytes::Memory(memory)
        }))
    }

    /// Returns a buffer; `None` when one will become free.
    fn buffer(&self, state: &mut State) -> io::Result<Option<Vec<u8>>> {
        if let Some(buffer) = state.free.pop() {
            return Ok(Some(buffer));
        }
        if state.buffers < self.plan().buffers() {
            state.buffers += 1;
            return Ok(Some(Vec::with_capacity(self.plan().part_size)));
        }
        if state.away > 0 || !state.queue.is_empty() {
            return Ok(None);
        }
        put_aside(state).map(Some)
    }

    /// Hands a part over to the threads. Gaps become zeroes. `length` is less than the size of a
    /// part for the last one only.
    fn complete<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        number: u32,
        length: usize,
    ) -> io::Result<()> {
        let Some(OpenPart { bytes, filled }) = state.open.remove(&number) else {
            return Err(io::Error::other("the part is not open"));
        };
        // From here on it belongs to this call.
        state.complete.insert(number);
        let mut memory = match bytes {
            PartBytes::Memory(memory) => memory,
            PartBytes::Waiting(file) if self.plan().in_files() => {
                // What was not written reads as zeroes.
                file.set_len(offset(length))?;
                state.queue.push_back((number, Complete::File(file, offset(length))));
                self.shared.changed.notify_all();
                return Ok(());
            }
            PartBytes::Waiting(file) => {
                let mut memory = loop {
                    self.check(&state)?;
                    match self.buffer(&mut state)? {
                        Some(memory) => break memory,
                        None => state = self.shared.wait(state),
                    }
                };
                state.away += 1;
                drop(state);
                memory.resize(length, 0);
                let ranges = present(&filled, length);
                let mut read = ranges.iter();
                let read = read
                    .try_for_each(|(from, to)| file.read_exact_at(&mut memory[*from..*to], offset(*from)));
                state = self.shared.state();
                state.away -= 1;
                if let Err(error) = read {
                    state.free.push(memory);
                    self.shared.changed.notify_all();
                    return Err(error);
                }
                memory
            }
        };
        memory.resize(length, 0);
        for (start, end) in filled.gaps(length) {
            memory[start..end].fill(0);
        }
        state.queue.push_back((number, Complete::Memory(memory)));
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Completes what is left of the upload, and waits until everything was sent.
    fn finish(&self, size: u64) -> io::Result<()> {
        let last = if size == 0 { 1 } else { self.number(size - 1)?.0 };
        for number in 1..=last {
            let start = u64::from(number - 1) * offset(self.plan().part_size);
            let length = usize::try_from(size - start).unwrap_or(usize::MAX).min(self.plan().part_size);
            let state = self.shared.state();
            if state.complete.contains(&number) {
                continue;
            }
            let open = state.open.contains_key(&number);
            drop(state);
            if !open {
                // Waits for a buffer.
                self.fill(number, 0, 0, None)?;
            }
            self.complete(self.shared.state(), number, length)?;
        }
        let mut state = self.shared.state();
        state.closed = true;
        self.shared.changed.notify_all();
        while state.failed.is_none() && (state.away > 0 || !state.queue.is_empty()) {
            state = self.shared.wait(state);
        }
        if let Some(error) = &state.failed {
            return Err(failure(error));
        }
        drop(state);
        for thread in sync::lock(&self.threads).drain(..) {
            thread.join().map_err(|_| io::Error::other("a thread of the upload panicked"))?;
        }
        Ok(())
    }
}

/// Puts the first part that is in memory aside, into a file without a name, and returns its buffer.
fn put_aside(state: &mut State) -> io::Result<Vec<u8>> {
    // The first part often waits for the head of the file, which is written last.
    for part in state.open.values_mut() {
        if let PartBytes::Memory(memory) = &mut part.bytes {
            let file = tempfile::tempfile()?;
            for (start, end) in present(&part.filled, memory.len()) {
                file.write_all_at(&memory[start..end], offset(start))?;
            }
            let buffer = std::mem::take(memory);
            file.set_len(offset(buffer.len()))?;
            part.bytes = PartBytes::Waiting(file);
            return Ok(buffer);
        }
    }
    Err(io::Error::other("all parts wait in files"))
}

/// Returns the ranges before `end` that are there.
fn present(filled: &Filled, end: usize) -> Vec<(usize, usize)> {
    let mut there = Vec::new();
    let mut at = 0;
    for (start, until) in filled.gaps(end) {
        if at < start {
            there.push((at, start));
        }
        at = until;
    }
    if at < end {
        there.push((at, end));
    }
    there
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).expect("a length fits in 64 bits")
}

impl BlockSink for PartSink {
    fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let (mut at, mut rest) = (at, buf);
        while !rest.is_empty() {
            let (number, start) = self.number(at)?;
            let length = rest.len().min(self.plan().part_size - start);
            self.fill(number, start, length, Some(&rest[..length]))?;
            (at, rest) = (at + offset(length), &rest[length..]);
        }
        Ok(())
    }

    fn leave_out(&self, range: ByteRange) -> io::Result<()> {
        self.write_zeroes(range.offset, range.length)
    }

    fn write_zeroes(&self, at: u64, length: u64) -> io::Result<()> {
        let (mut at, end) = (at, at.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?);
        while at < end {
            let (number, start) = self.number(at)?;
            let length = (self.plan().part_size - start).min(usize::try_from(end - at).unwrap_or(usize::MAX));
            self.fill(number, start, length, None)?;
            at += offset(length);
        }
        Ok(())
    }

    fn kept(&self) -> Vec<ByteRange> {
        self.shared.sender.kept()
    }

    fn keep(&self, range: ByteRange) -> io::Result<()> {
        let (number, start) = self.number(range.offset)?;
        let mut state = self.shared.state();
        self.check(&state)?;
        let untouched = !state.open.contains_key(&number) && !state.complete.contains(&number);
        if start > 0 || !untouched || !self.shared.sender.keep(number, range.length) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        state.complete.insert(number);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.shared.state().size = Some(size);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        let size = state.size.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an upload can only be finished when its size is known",
            )
        })?;
        if state.closed {
            return state.failed.take().map_or(Ok(()), |error| Err(failure(&error)));
        }
        drop(state);
        self.finish(size)
    }
}
