//! What one thread of the pipeline does.

use std::collections::VecDeque;

use super::{
    Job, Planner, Target, Window, encoder_for,
    ordered::{Ordered, Shared, Stopped, Submission},
};
use crate::{
    aligned::AlignedBuffer,
    codec::Encoder,
    digest::{CLUSTER, StoredDigest, WrittenTwice, leaf},
    error::EngineError,
    io::BlockSink,
    movement::Event,
    num::{from_u32, to_u64, to_usize},
    place::{Encoded, FileTooLarge, Layout, Unit, UnitRules, padded},
    ports::{ByteRange, PortError},
    reader::DiskReader,
    zero::ZeroMap,
};

impl From<Stopped> for EngineError {
    /// The worker that failed reports why; this one is only told to go.
    fn from(_: Stopped) -> Self {
        Self::Cancelled
    }
}

impl From<FileTooLarge> for EngineError {
    fn from(_: FileTooLarge) -> Self {
        Self::Unsupported { what: "a file of more than 4 EiB".to_owned() }
    }
}

impl From<WrittenTwice> for EngineError {
    fn from(twice: WrittenTwice) -> Self {
        let message = format!(
            "the format plugin's layout writes file offset {} twice; report this to its author",
            twice.offset
        );
        PortError::bad_answer("plugin.layout-overlap", message).into()
    }
}

/// A window on its way, with the buffers that it needs until it is in the file.
struct Slot {
    window: Window,
    bytes: AlignedBuffer,
    encoded: Vec<u8>,
    /// Leaf of each cluster of the window; `None` is a cluster of zeroes.
    leaves: Vec<Option<[u8; 32]>>,
    units: Vec<Unit>,
}

pub(super) struct Worker<'a> {
    job: &'a Job,
    planner: &'a Planner<'a>,
    ordered: &'a Ordered,
    reader: DiskReader<'a>,
    encoder: Option<Encoder>,
    zeroes: ZeroMap,
    free: Vec<Slot>,
    /// Handed in, and not yet in the file; oldest first.
    waiting: VecDeque<Slot>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        job: &'a Job,
        planner: &'a Planner<'a>,
        ordered: &'a Ordered,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            job,
            planner,
            ordered,
            reader: job.disk.reader(),
            encoder: encoder_for(&job.target)?,
            zeroes: ZeroMap::default(),
            free: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        loop {
            let mut slot = self.free_slot()?;
            let Some(window) = self.planner.take() else { break };
            if self.job.running.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            self.load(window, &mut slot)?;
            match &self.job.target {
                Target::Nothing => self.hand_in(&mut slot, 0)?,
                Target::File { plan, sink, stored, .. } => match &plan.layout {
                    Layout::Identity { data_start } => {
                        self.store_identity(&mut slot, *data_start, sink.as_ref(), stored)?;
                    }
                    Layout::Units(rules) => self.prepare_units(&mut slot, rules)?,
                },
            }
            self.job.running.progress.advance(stored_in(self.job, window.range));
            match slot.units.is_empty() {
                true => self.free.push(slot),
                false => self.waiting.push_back(slot),
            }
            self.write_what_is_placed()?;
        }
        while let Some(slot) = self.waiting.pop_front() {
            self.finish_slot(slot)?;
        }
        Ok(())
    }

    /// Buffers for the next window: free ones, new ones, or those of the oldest window once it is in the file.
    fn free_slot(&mut self) -> Result<Slot, EngineError> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        match self.waiting.len() < self.planner.slots {
            false => match self.waiting.pop_front() {
                Some(oldest) => self.finish_slot(oldest),
                None => Ok(self.new_slot()),
            },
            true => Ok(self.new_slot()),
        }
    }

    fn new_slot(&self) -> Slot {
        let length = to_usize(self.planner.window);
        Slot {
            window: Window { number: 0, range: ByteRange { offset: 0, length: 0 } },
            bytes: AlignedBuffer::new(length),
            encoded: if self.encoder.is_some() { vec![0; length] } else { Vec::new() },
            leaves: Vec::new(),
            units: Vec::new(),
        }
    }

    /// Reads the window, finds its zeroes, hashes the rest.
    fn load(&mut self, window: Window, slot: &mut Slot) -> Result<(), EngineError> {
        let ByteRange { offset, length } = window.range;
        let before = self.reader.bytes_read();
        let length = to_usize(length);
        let bytes = &mut slot.bytes[..];
        // Behind the end of the disk there are zeroes up to the end of the window.
        self.zeroes.reset(bytes.len());
        bytes[length..].fill(0);
        self.zeroes.known(length, bytes.len());
        self.reader.fill(&mut bytes[..length], offset, Some(&mut self.zeroes))?;
        self.job.running.progress.moved_in(self.reader.bytes_read() - before);
        self.zeroes.scan(bytes);
        let zeroes = &self.zeroes;
        slot.leaves.clear();
        slot.leaves.extend(bytes.chunks_exact(CLUSTER).zip(0u64..).map(|(cluster, number)| {
            let start = number * to_u64(CLUSTER);
            (!zeroes.all(start, start + to_u64(CLUSTER))).then(|| leaf(cluster))
        }));
        slot.window = window;
        slot.units.clear();
        Ok(())
    }

    /// Hands the window in for the ordered step. The slot keeps what it needs for writing.
    fn hand_in(&self, slot: &mut Slot, written: u64) -> Result<(), EngineError> {
        let job = self.job;
        let submission = Submission {
            cluster: slot.window.range.offset / to_u64(CLUSTER),
            leaves: slot.leaves.clone(),
            units: slot.units.clone(),
            written,
        };
        self.ordered
            .submit(slot.window.number, submission, |shared, submission| take_step(job, shared, submission))
    }

    /// The file is the disk: runs of blocks that are not zero are written, the rest stays a hole.
    fn store_identity(
        &self,
        slot: &mut Slot,
        data_start: u64,
        sink: &dyn BlockSink,
        stored: &StoredDigest,
    ) -> Result<(), EngineError> {
        let ByteRange { offset, length } = slot.window.range;
        let length = to_usize(length);
        let mut written = 0;
        for (start, end) in self.zeroes.data_runs() {
            let bytes = &slot.bytes[start..end.min(length)];
            let at = data_start + offset + to_u64(start);
            sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
            written += to_u64(bytes.len());
        }
        self.job.running.progress.moved_out(written);
        if data_start != 0 {
            stored.write(data_start + offset, &slot.bytes[..length])?;
        } else {
            // A last cluster that is not whole may share its block of the file with a footer.
            let whole = length / CLUSTER * CLUSTER;
            stored.write(offset + to_u64(whole), &slot.bytes[whole..length])?;
        }
        self.hand_in(slot, written)
    }

    fn prepare_units(&mut self, slot: &mut Slot, rules: &UnitRules) -> Result<(), EngineError> {
        self.encode(slot, rules)?;
        let lengths = slot.units.iter().map(|unit| unit.encoded.map_or(rules.unit, |encoded| encoded.length));
        let written = lengths.map(u64::from).sum();
        self.hand_in(slot, written)
    }

    /// Lists the units to store, and encodes those that become small enough.
    fn encode(&mut self, slot: &mut Slot, rules: &UnitRules) -> Result<(), EngineError> {
        let ByteRange { offset, length } = slot.window.range;
        let unit = u64::from(rules.unit);
        let mut at = 0;
        for number in 0..length.div_ceil(unit) {
            let start = number * unit;
            let bytes = &slot.bytes[to_usize(start)..to_usize(start + unit)];
            if rules.skip_zero && self.is_zero(start, bytes) {
                continue;
            }
            let room = slot.encoded.len().min(at + from_u32(rules.max_encoded));
            let encoded = match &mut self.encoder {
                Some(encoder) => encoder.encode(bytes, &mut slot.encoded[at..room]),
                None => None,
            };
            if encoded.is_none() && self.encoder.is_some() && !rules.verbatim_if_larger {
                let what = "storing data that does not compress in this layout".to_owned();
                return Err(EngineError::Unsupported { what });
            }
            let encoded = encoded.map(|length| Encoded {
                at,
                length: u32::try_from(length).expect("an encoded unit is not longer than a unit"),
            });
            if let Some(Encoded { length, .. }) = encoded {
                let end = at + from_u32(length);
                let next = padded(end, rules.align).map_or(end, to_usize).min(slot.encoded.len());
                slot.encoded[end..next].fill(0);
                at = next;
            }
            slot.units.push(Unit { offset: offset + start, encoded, file_offset: 0 });
        }
        Ok(())
    }

    /// Whether a unit is zero; units smaller than a block are looked at again.
    fn is_zero(&self, start: u64, bytes: &[u8]) -> bool {
        match bytes.len().is_multiple_of(crate::zero::BLOCK) {
            true => self.zeroes.all(start, start + to_u64(bytes.len())),
            false => crate::zero::is_zero(bytes),
        }
    }

    /// Writes the windows whose turn has come, without waiting for any.
    fn write_what_is_placed(&mut self) -> Result<(), EngineError> {
        while let Some(oldest) = self.waiting.front() {
            let Some(submission) = self.ordered.placed(oldest.window.number) else { break };
            if let Some(mut slot) = self.waiting.pop_front() {
                slot.units = submission.units;
                self.write_units(&slot)?;
                self.free.push(slot);
            }
        }
        Ok(())
    }

    /// Waits for a window's turn and writes it.
    fn finish_slot(&self, mut slot: Slot) -> Result<Slot, EngineError> {
        slot.units = self.ordered.await_placed(slot.window.number)?.units;
        self.write_units(&slot)?;
        Ok(slot)
    }

    fn write_units(&self, slot: &Slot) -> Result<(), EngineError> {
        let Target::File { plan, sink, stored, .. } = &self.job.target else { return Ok(()) };
        let Layout::Units(rules) = &plan.layout else { return Ok(()) };
        let output = Output { sink: sink.as_ref(), stored, rules };
        let written = output.write_encoded(slot)? + output.write_verbatim(slot)?;
        self.job.running.progress.moved_out(written);
        Ok(())
    }
}

/// The ordered step of one window: leaves, then placements.
fn take_step(job: &Job, shared: &mut Shared, submission: &mut Submission) -> Result<(), EngineError> {
    let size = job.disk.size();
    for (leaf, cluster) in submission.leaves.iter().zip(submission.cluster..) {
        let Some(leaf) = leaf else { continue };
        shared.logical.push(cluster, leaf);
        let end = (cluster + 1) * to_u64(CLUSTER);
        shared.data_bytes += to_u64(CLUSTER) - end.saturating_sub(size);
        if end <= size {
            shared.stored_prefix.push(cluster, leaf);
        }
    }
    shared.written += submission.written;
    let (Some(placer), Target::File { events, .. }) = (&mut shared.placer, &job.target) else {
        return Ok(());
    };
    placer.place(&mut submission.units)?;
    while let Some(report) = placer.take_report() {
        events.blocking_send(Event::Placed(report)).map_err(|_| EngineError::Cancelled)?;
    }
    Ok(())
}

/// Where placed units go.
struct Output<'a> {
    sink: &'a dyn BlockSink,
    stored: &'a StoredDigest,
    rules: &'a UnitRules,
}

impl Output<'_> {
    /// Neighbours in the file are neighbours in the buffer, and go in one write. Says how many bytes went.
    fn write_encoded(&self, slot: &Slot) -> Result<u64, EngineError> {
        let mut pending: Option<(u64, usize, usize)> = None;
        let mut written = 0;
        for unit in &slot.units {
            let Some(Encoded { at, length }) = unit.encoded else { continue };
            let end = at + from_u32(length);
            written += u64::from(length);
            match &mut pending {
                Some((file, start, stop))
                    if unit.file_offset == *file + to_u64(at - *start)
                        && padded(*stop, self.rules.align) == Some(to_u64(at)) =>
                {
                    *stop = end;
                }
                pending => {
                    if let Some((file, start, stop)) = pending.replace((unit.file_offset, at, end)) {
                        self.write(file, &slot.encoded[start..stop])?;
                    }
                }
            }
        }
        if let Some((file, start, stop)) = pending {
            self.write(file, &slot.encoded[start..stop])?;
        }
        Ok(written)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), EngineError> {
        self.sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
        Ok(self.stored.write(at, bytes)?)
    }

    /// Units that are stored as they are; neighbours go in one write. Says how many bytes went.
    fn write_verbatim(&self, slot: &Slot) -> Result<u64, EngineError> {
        let unit = u64::from(self.rules.unit);
        let mut written = 0;
        let mut verbatim = slot.units.iter().filter(|unit| unit.encoded.is_none()).peekable();
        while let Some(first) = verbatim.next() {
            let mut length = unit;
            let follows = |next: &&Unit, length: u64| {
                next.offset == first.offset + length && next.file_offset == first.file_offset + length
            };
            while verbatim.next_if(|next| follows(next, length)).is_some() {
                length += unit;
            }
            let start = to_usize(first.offset - slot.window.range.offset);
            let bytes = &slot.bytes[start..start + to_usize(length)];
            let at = first.file_offset;
            self.sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
            self.note_verbatim(&slot.leaves, start, at, bytes)?;
            written += length;
        }
        Ok(written)
    }

    /// Where clusters of the disk become blocks of the file, their leaves are known already.
    fn note_verbatim(
        &self,
        leaves: &[Option<[u8; 32]>],
        start: usize,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let cluster = to_u64(CLUSTER);
        let aligned = at.is_multiple_of(cluster)
            && start.is_multiple_of(CLUSTER)
            && bytes.len().is_multiple_of(CLUSTER);
        if !aligned {
            return Ok(self.stored.write(at, bytes)?);
        }
        let first = start / CLUSTER;
        for (leaf, block) in leaves[first..first + bytes.len() / CLUSTER].iter().zip(at / cluster..) {
            self.stored.leaf(block, *leaf)?;
        }
        Ok(())
    }
}

/// How much of a range counts as progress.
fn stored_in(job: &Job, range: ByteRange) -> u64 {
    use crate::extent_map::Content;
    job.disk
        .map()
        .pieces(range)
        .filter(|piece| matches!(piece.content, Content::Data { .. } | Content::Encoded(_)))
        .map(|piece| piece.range.length)
        .sum()
}
