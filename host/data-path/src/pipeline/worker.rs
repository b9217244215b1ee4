//! What one thread of the pipeline does.

use super::{
    Job, Planner, Target, Window, encoder_for,
    ordered::{Ordered, Stopped},
};
use crate::{
    codec::Encoder,
    digest::{CLUSTER, StoredDigest, WrittenTwice, leaf},
    error::EngineError,
    io::BlockSink,
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

pub(super) struct Worker<'a> {
    job: &'a Job,
    planner: &'a Planner<'a>,
    ordered: &'a Ordered,
    stored: &'a StoredDigest,
    reader: DiskReader<'a>,
    encoder: Option<Encoder>,
    window: Vec<u8>,
    encoded: Vec<u8>,
    zeroes: ZeroMap,
    /// Leaf of each cluster of the window; `None` is a cluster of zeroes.
    leaves: Vec<Option<[u8; 32]>>,
    units: Vec<Unit>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        job: &'a Job,
        planner: &'a Planner<'a>,
        ordered: &'a Ordered,
        stored: &'a StoredDigest,
    ) -> Result<Self, EngineError> {
        let encoder = encoder_for(&job.target)?;
        let window = to_usize(planner.window);
        Ok(Self {
            job,
            planner,
            ordered,
            stored,
            reader: job.disk.reader(),
            encoded: if encoder.is_some() { vec![0; window] } else { Vec::new() },
            encoder,
            window: vec![0; window],
            zeroes: ZeroMap::default(),
            leaves: Vec::new(),
            units: Vec::new(),
        })
    }

    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        while let Some(window) = self.planner.take() {
            if self.job.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            self.load(window)?;
            match &self.job.target {
                Target::Nothing => self.in_order(window, 0)?,
                Target::File { layout: Layout::Identity { data_start }, sink, .. } => {
                    self.store_identity(window, *data_start, sink.as_ref())?;
                }
                Target::File { layout: Layout::Units(rules), sink, .. } => {
                    self.store_units(window, rules, sink.as_ref())?
                }
            }
            self.job.progress.advance(stored_in(self.job, window.range));
        }
        Ok(())
    }

    /// Reads the window, finds its zeroes, hashes the rest.
    fn load(&mut self, window: Window) -> Result<(), EngineError> {
        let ByteRange { offset, length } = window.range;
        let before = self.reader.bytes_read();
        let length = to_usize(length);
        // Behind the end of the disk there are zeroes up to the end of the window.
        self.zeroes.reset(self.window.len());
        self.window[length..].fill(0);
        self.zeroes.known(length, self.window.len());
        self.reader.fill(&mut self.window[..length], offset, Some(&mut self.zeroes))?;
        self.job.progress.moved_in(self.reader.bytes_read() - before);
        self.zeroes.scan(&self.window);
        self.leaves.clear();
        let zeroes = &self.zeroes;
        self.leaves.extend(self.window.chunks_exact(CLUSTER).zip(0u64..).map(|(cluster, number)| {
            let start = number * to_u64(CLUSTER);
            (!zeroes.all(start, start + to_u64(CLUSTER))).then(|| leaf(cluster))
        }));
        Ok(())
    }

    /// The ordered step: leaves and placements.
    fn in_order(&mut self, window: Window, written: u64) -> Result<(), EngineError> {
        let Self { job, ordered, leaves, units, .. } = self;
        let first = window.range.offset / to_u64(CLUSTER);
        let size = job.disk.size();
        ordered.turn(window.number, |shared| {
            for (leaf, cluster) in leaves.iter().zip(first..) {
                let Some(leaf) = leaf else { continue };
                shared.logical.push(cluster, leaf);
                let end = (cluster + 1) * to_u64(CLUSTER);
                shared.data_bytes += to_u64(CLUSTER) - end.saturating_sub(size);
                if end <= size {
                    shared.stored_prefix.push(cluster, leaf);
                }
            }
            shared.written += written;
            let (Some(placer), Target::File { reports, .. }) = (&mut shared.placer, &job.target) else {
                return Ok(());
            };
            placer.place(units)?;
            while let Some(report) = placer.take_report() {
                reports.blocking_send(report).map_err(|_| EngineError::Cancelled)?;
            }
            Ok::<(), EngineError>(())
        })
    }

    /// The file is the disk: runs of blocks that are not zero are written, the rest stays a hole.
    fn store_identity(
        &mut self,
        window: Window,
        data_start: u64,
        sink: &dyn BlockSink,
    ) -> Result<(), EngineError> {
        let ByteRange { offset, length } = window.range;
        let mut written = 0;
        for (start, end) in self.zeroes.data_runs() {
            let bytes = &self.window[start..end.min(to_usize(length))];
            let at = data_start + offset + to_u64(start);
            sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
            written += to_u64(bytes.len());
        }
        self.job.progress.moved_out(written);
        if data_start != 0 {
            let last = to_usize(length);
            self.stored.write(data_start + offset, &self.window[..last])?;
        } else {
            // A last cluster that is not whole may share its block of the file with a footer.
            let whole = to_usize(length) / CLUSTER * CLUSTER;
            self.stored.write(offset + to_u64(whole), &self.window[whole..to_usize(length)])?;
        }
        self.in_order(window, written)
    }

    fn store_units(
        &mut self,
        window: Window,
        rules: &UnitRules,
        sink: &dyn BlockSink,
    ) -> Result<(), EngineError> {
        self.encode(window, rules)?;
        let written = self
            .units
            .iter()
            .map(|unit| unit.encoded.map_or(rules.unit, |encoded| encoded.length))
            .map(u64::from)
            .sum();
        self.in_order(window, written)?;
        self.write_encoded(rules, sink)?;
        self.write_verbatim(window, rules, sink)?;
        self.job.progress.moved_out(written);
        Ok(())
    }

    /// Lists the units to store, and encodes those that become small enough.
    fn encode(&mut self, window: Window, rules: &UnitRules) -> Result<(), EngineError> {
        let ByteRange { offset, length } = window.range;
        let unit = u64::from(rules.unit);
        let mut at = 0;
        self.units.clear();
        for number in 0..length.div_ceil(unit) {
            let start = number * unit;
            let zero = self.unit_is_zero(start, start + unit);
            if zero && rules.skip_zero {
                continue;
            }
            let bytes = &self.window[to_usize(start)..to_usize(start + unit)];
            let room = self.encoded.len().min(at + from_u32(rules.max_encoded));
            let encoded = match &mut self.encoder {
                Some(encoder) => encoder.encode(bytes, &mut self.encoded[at..room]),
                None => None,
            };
            if encoded.is_none() && self.encoder.is_some() && !rules.verbatim_if_larger {
                return Err(EngineError::Unsupported {
                    what: "storing data that does not compress in this layout".to_owned(),
                });
            }
            let encoded = encoded.map(|length| Encoded {
                at,
                length: u32::try_from(length).expect("an encoded unit is not longer than a unit"),
            });
            if let Some(Encoded { length, .. }) = encoded {
                let end = at + from_u32(length);
                let next = padded(end, rules.align).map_or(end, to_usize).min(self.encoded.len());
                self.encoded[end..next].fill(0);
                at = next;
            }
            self.units.push(Unit { offset: offset + start, encoded, file_offset: 0 });
        }
        Ok(())
    }

    fn unit_is_zero(&self, start: u64, end: u64) -> bool {
        match (end - start).is_multiple_of(to_u64(crate::zero::BLOCK)) {
            true => self.zeroes.all(start, end),
            false => crate::zero::is_zero(&self.window[to_usize(start)..to_usize(end)]),
        }
    }

    /// Neighbours in the file are neighbours in the buffer, and go in one write.
    fn write_encoded(&self, rules: &UnitRules, sink: &dyn BlockSink) -> Result<(), EngineError> {
        let mut pending: Option<(u64, usize, usize)> = None;
        for unit in &self.units {
            let Some(Encoded { at, length }) = unit.encoded else { continue };
            let end = at + from_u32(length);
            match &mut pending {
                Some((file, start, stop))
                    if unit.file_offset == *file + to_u64(at - *start)
                        && padded(*stop, rules.align) == Some(to_u64(at)) =>
                {
                    *stop = end;
                }
                pending => {
                    if let Some((file, start, stop)) = pending.replace((unit.file_offset, at, end)) {
                        self.write(sink, file, &self.encoded[start..stop])?;
                    }
                }
            }
        }
        match pending {
            Some((file, start, stop)) => self.write(sink, file, &self.encoded[start..stop]),
            None => Ok(()),
        }
    }

    fn write(&self, sink: &dyn BlockSink, at: u64, bytes: &[u8]) -> Result<(), EngineError> {
        sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
        Ok(self.stored.write(at, bytes)?)
    }

    fn write_verbatim(
        &self,
        window: Window,
        rules: &UnitRules,
        sink: &dyn BlockSink,
    ) -> Result<(), EngineError> {
        let unit = u64::from(rules.unit);
        let mut verbatim = self.units.iter().filter(|unit| unit.encoded.is_none()).peekable();
        while let Some(first) = verbatim.next() {
            let mut length = unit;
            while let Some(next) = verbatim.next_if(|next| {
                next.offset == first.offset + length && next.file_offset == first.file_offset + length
            }) {
                debug_assert_eq!(next.offset - first.offset, length);
                length += unit;
            }
            let start = to_usize(first.offset - window.range.offset);
            let bytes = &self.window[start..start + to_usize(length)];
            let at = first.file_offset;
            sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
            self.note_verbatim(start, at, bytes)?;
        }
        Ok(())
    }

    /// Where clusters of the disk become blocks of the file, their leaves are known already.
    fn note_verbatim(&self, start: usize, at: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let cluster = to_u64(CLUSTER);
        let aligned = at.is_multiple_of(cluster)
            && start.is_multiple_of(CLUSTER)
            && bytes.len().is_multiple_of(CLUSTER);
        if !aligned {
            return Ok(self.stored.write(at, bytes)?);
        }
        let first = start / CLUSTER;
        let leaves = &self.leaves[first..first + bytes.len() / CLUSTER];
        for (leaf, block) in leaves.iter().zip(at / cluster..) {
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
