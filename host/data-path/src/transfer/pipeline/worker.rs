//! What one thread of the pipeline does.

use std::collections::VecDeque;

use imprint_ports::{ByteRange, PortError};

use super::{
    ordered::{Insert, Ordered, Shared, Stopped, Submission},
    output::Output,
    planner::{Planner, Window, encoded_room},
    slot::Slot,
    target::{FileTarget, Operation, Target},
};
use crate::{
    codec::Encoder,
    digest::{CLUSTER, DigestMode, WrittenTwice},
    disk::reader::DiskReader,
    error::EngineError,
    transfer::{
        place::{Encoded, FileTooLarge, Layout, Placer, Unit, UnitRules},
        plan::{Event, Pass, WriteMode, WritePlan},
    },
    util::{
        aligned::AlignedBuffer,
        num::{to_u64, to_usize},
        zero::ZeroMap,
    },
};

/// The longest answer to a request for tables between units, in bytes.
const MAX_INSERT: usize = 1 << 20;

/// The number of bytes that are read between two checks of the cancellation: no unit of any source
/// is longer.
const READ_STEP: usize = 4 << 20;

impl From<Stopped> for EngineError {
    /// The worker that failed reports the cause; this one is only stopped.
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

pub(super) struct Worker<'a> {
    operation: &'a Operation,
    planner: &'a Planner<'a>,
    ordered: &'a Ordered,
    reader: DiskReader<'a>,
    encoder: Option<Encoder>,
    /// The buffers for slots that do not exist yet.
    buffers: Vec<AlignedBuffer>,
    free: Vec<Slot>,
    /// Submitted, and not yet in the file; oldest first.
    waiting: VecDeque<Slot>,
    /// The number of bytes that this worker wrote.
    written: u64,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        operation: &'a Operation,
        planner: &'a Planner<'a>,
        ordered: &'a Ordered,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            operation,
            planner,
            ordered,
            reader: operation.disk.reader(),
            encoder: encoder_for(&operation.target)?,
            buffers: AlignedBuffer::several(planner.slots, to_usize(planner.window)),
            free: Vec::new(),
            waiting: VecDeque::new(),
            written: 0,
        })
    }

    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        loop {
            let mut slot = self.free_slot()?;
            let Some(window) = self.planner.take()? else { break };
            if self.operation.context.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            self.load(window, &mut slot)?;
            let has_output = match &self.operation.target {
                Target::Nothing => self.submit(&slot, false, 0)?,
                Target::File(file) => self.prepare(&mut slot, file)?,
            };
            self.operation.context.progress.count_done(self.operation.disk.map().stored_in(window.range)?);
            if has_output {
                self.waiting.push_back(slot)
            } else {
                self.free.push(slot)
            }
            self.write_placed()?;
        }
        while let Some(slot) = self.waiting.pop_front() {
            self.finish_slot(slot)?;
        }
        self.ordered.count_written(self.written);
        Ok(())
    }

    /// Returns buffers for the next window: free ones, new ones, or those of the oldest window once
    /// it is in the file.
    fn free_slot(&mut self) -> Result<Slot, EngineError> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        if self.waiting.len() < self.planner.slots {
            Ok(self.new_slot())
        } else {
            match self.waiting.pop_front() {
                Some(oldest) => self.finish_slot(oldest),
                None => Ok(self.new_slot()),
            }
        }
    }

    fn new_slot(&mut self) -> Slot {
        let window = to_usize(self.planner.window);
        Slot {
            window: Window { number: 0, range: ByteRange { offset: 0, length: 0 } },
            bytes: self.buffers.pop().unwrap_or_else(|| AlignedBuffer::new(window)),
            encoded: vec![0; encoded_room(self.operation.target.layout(), self.planner.window)],
            zeroes: ZeroMap::default(),
            leaves: Vec::new(),
            units: Vec::new(),
            placed: None,
        }
    }

    /// Reads the window, finds its zeroes, hashes the rest.
    fn load(&mut self, window: Window, slot: &mut Slot) -> Result<(), EngineError> {
        let ByteRange { offset, length } = window.range;
        let before = self.reader.bytes_read();
        let length = to_usize(length);
        let bytes = &mut slot.bytes[..];
        // Behind the end of the disk there are zeroes up to the end of the window.
        slot.zeroes.reset(bytes.len());
        bytes[length..].fill(0);
        slot.zeroes.known(length, bytes.len());
        if length <= READ_STEP {
            self.reader.fill(&mut bytes[..length], offset, Some(&mut slot.zeroes))?
        } else {
            for (chunk, number) in bytes[..length].chunks_mut(READ_STEP).zip(0u64..) {
                if self.operation.context.cancel.is_cancelled() {
                    return Err(EngineError::Cancelled);
                }
                self.reader.fill(chunk, offset + number * to_u64(READ_STEP), None)?;
            }
        }
        self.operation.context.progress.count_read(self.reader.bytes_read() - before);
        slot.zeroes.scan(bytes);
        let zeroes = &slot.zeroes;
        let digests = match &self.operation.target {
            Target::File(file) => file.plan.digests,
            Target::Nothing => DigestMode::Computed,
        };
        slot.leaves.clear();
        slot.leaves.extend(bytes.chunks_exact(CLUSTER).zip(0u64..).map(|(cluster, number)| {
            let start = number * to_u64(CLUSTER);
            (!zeroes.all(start, start + to_u64(CLUSTER))).then(|| digests.leaf(cluster))
        }));
        slot.window = window;
        slot.units.clear();
        Ok(())
    }

    /// Submits the window for the ordered step, and returns whether something is to be written
    /// after it. The slot keeps what it needs for that.
    fn submit(&self, slot: &Slot, has_output: bool, at: u64) -> Result<bool, EngineError> {
        let operation = self.operation;
        let submission = Submission {
            cluster: slot.window.range.offset / to_u64(CLUSTER),
            leaves: slot.leaves.clone(),
            units: slot.units.clone(),
            has_output,
            at,
            run: (at, at + slot.window.range.length),
            empty: Vec::new(),
            inserts: Vec::new(),
        };
        self.ordered.submit(slot.window.number, submission, |shared, submission| {
            ordered_step(operation, shared, submission)
        })?;
        Ok(has_output)
    }

    /// Prepares a window for the file, and submits it.
    fn prepare(&mut self, slot: &mut Slot, file: &FileTarget) -> Result<bool, EngineError> {
        match &file.plan.layout {
            Layout::Identity { data_start } => {
                let has_output = file.plan.mode != WriteMode::Sparse;
                if !has_output {
                    let output = Output { file, ordered: self.ordered, context: &self.operation.context };
                    self.written += output.store_identity(slot)?;
                }
                self.submit(slot, has_output, data_start + slot.window.range.offset)
            }
            Layout::Units(rules) => {
                self.encode(slot, rules)?;
                self.submit(slot, file.pass == Pass::Write && !slot.units.is_empty(), 0)
            }
        }
    }

    /// Lists the units to store, and encodes those that become small enough.
    fn encode(&mut self, slot: &mut Slot, rules: &UnitRules) -> Result<(), EngineError> {
        let ByteRange { offset, length } = slot.window.range;
        let unit = u64::from(rules.unit);
        let mut at = 0;
        for number in 0..length.div_ceil(unit) {
            let start = number * unit;
            let bytes = &slot.bytes[to_usize(start)..to_usize(start + unit)];
            if rules.skip_zero && is_zero(&slot.zeroes, start, bytes) {
                continue;
            }
            let encoded = match &mut self.encoder {
                Some(encoder) => {
                    let body = at + rules.frame.length;
                    encoder.encode(bytes, &mut slot.encoded[body..body + rules.room()])
                }
                None => None,
            };
            if encoded.is_none() && self.encoder.is_some() && !rules.verbatim_if_larger {
                let what = "storing data that does not compress in this layout".to_owned();
                return Err(EngineError::Unsupported { what });
            }
            let encoded = encoded.map(|length| {
                let next = at + rules.stride(length);
                let (frame, body) = slot.encoded[at..next].split_at_mut(rules.frame.length);
                body[length..].fill(0);
                let length = u32::try_from(length).expect("the room for an encoded unit is below 4 GiB");
                rules.frame.write((offset + start) / unit, length, frame);
                Encoded { at: std::mem::replace(&mut at, next), length }
            });
            slot.units.push(Unit { offset: offset + start, encoded, file_offset: 0, joined: false });
        }
        Ok(())
    }

    /// Writes the windows that are placed, without waiting for any.
    fn write_placed(&mut self) -> Result<(), EngineError> {
        while let Some(oldest) = self.waiting.front_mut() {
            if oldest.placed.is_none() {
                oldest.placed = self.ordered.placed(oldest.window.number);
            }
            let Some(placed) = &oldest.placed else { break };
            if writes_in_order(self.operation) && !self.ordered.is_write_position(placed.run.0) {
                break;
            }
            if let Some(slot) = self.waiting.pop_front() {
                let slot = self.finish_slot(slot)?;
                self.free.push(slot);
            }
        }
        Ok(())
    }

    /// Waits until a window is placed and writes it.
    fn finish_slot(&mut self, mut slot: Slot) -> Result<Slot, EngineError> {
        let mut placed = match slot.placed.take() {
            Some(placed) => placed,
            None => self.ordered.await_placed(slot.window.number)?,
        };
        if let Target::File(file) = &self.operation.target {
            let output = Output { file, ordered: self.ordered, context: &self.operation.context };
            self.written += output.store(&slot, &mut placed)?;
        }
        Ok(slot)
    }
}

fn writes_in_order(operation: &Operation) -> bool {
    matches!(&operation.target, Target::File(file) if file.plan.mode == WriteMode::Append)
}

/// Returns whether a unit is zero; units smaller than a block are scanned once more.
fn is_zero(zeroes: &ZeroMap, start: u64, bytes: &[u8]) -> bool {
    if bytes.len().is_multiple_of(crate::util::zero::BLOCK) {
        zeroes.all(start, start + to_u64(bytes.len()))
    } else {
        crate::util::zero::is_zero(bytes)
    }
}

/// The ordered step of one window: leaves, then placements.
fn ordered_step(
    operation: &Operation,
    shared: &mut Shared,
    submission: &mut Submission,
) -> Result<(), EngineError> {
    let size = operation.disk.size();
    for (leaf, cluster) in submission.leaves.iter().zip(submission.cluster..) {
        let Some(leaf) = leaf else { continue };
        shared.logical.push(cluster, leaf);
        let end = (cluster + 1) * to_u64(CLUSTER);
        shared.data_bytes += to_u64(CLUSTER) - end.saturating_sub(size);
        if end <= size {
            shared.stored_prefix.push(cluster, leaf);
        }
    }
    match (&mut shared.placer, &operation.target) {
        (Some(placer), Target::File(file)) => place(placer, file, submission),
        (None, Target::File(_)) => {
            submission.run.0 = std::mem::replace(&mut shared.position, submission.run.1);
            submission
                .empty
                .extend((submission.run.0 < submission.at).then_some((submission.run.0, submission.at)));
            Ok(())
        }
        (_, Target::Nothing) => Ok(()),
    }
}

/// Places the units of a window, and requests the tables between them.
fn place(placer: &mut Placer, file: &FileTarget, submission: &mut Submission) -> Result<(), EngineError> {
    let Submission { units, empty, inserts, .. } = submission;
    submission.run.0 = placer.end();
    placer.begin_batch();
    let mut rest = units.as_mut_slice();
    while let Some(first) = rest.first() {
        if placer.tables_before(first) {
            let at = placer.tables_at()?;
            let bytes = file.ask(placer.take_reports(), at)?;
            if bytes.len() > MAX_INSERT {
                let message = "the format plugin's tables between units are longer than 1 MiB; report this to its author";
                return Err(PortError::bad_answer("plugin.interleave", message).into());
            }
            placer.insert_tables(at, bytes.len(), empty);
            inserts.extend((!bytes.is_empty()).then_some(Insert { at, bytes }));
        }
        let (now, later) = rest.split_at_mut(placer.until_tables(rest));
        placer.place(now, empty)?;
        rest = later;
    }
    submission.run.1 = placer.end();
    while let Some(report) = placer.take_report() {
        file.events.blocking_send(Event::Placed(report)).map_err(|_| EngineError::Cancelled)?;
    }
    Ok(())
}

/// Returns the encoder that a target needs, if any.
fn encoder_for(target: &Target) -> Result<Option<Encoder>, EngineError> {
    let Target::File(file) = target else { return Ok(None) };
    let WritePlan { layout: Layout::Units(rules), level, .. } = &file.plan else { return Ok(None) };
    let Some(kind) = rules.codec else { return Ok(None) };
    match Encoder::new(kind, *level, rules.unit) {
        Some(encoder) => Ok(Some(encoder)),
        None => Err(EngineError::InvalidOption {
            what: "the compression level is out of range; use 0 to 12 for zlib, -7 to 19 for zstd".to_owned(),
        }),
    }
}
