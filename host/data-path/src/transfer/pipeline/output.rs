//! Writing windows into the file, in each of the three modes.

use imprint_ports::{BlockSink, ByteRange};

use super::{
    ordered::{Insert, Ordered, Submission},
    slot::Slot,
    target::FileTarget,
};
use crate::{
    digest::{CLUSTER, StoredDigest},
    error::EngineError,
    transfer::{
        context::OperationContext,
        place::{Layout, Unit, UnitRules},
        plan::WriteMode,
    },
    util::num::{from_u32, to_u64, to_usize},
};

/// The shortest run of zeroes that is made by an operation of the sink, in bytes, where every byte
/// is written.
const MIN_ZERO_RUN: usize = 64 << 10;
/// The number of bytes of zeroes between two checks of the cancellation.
const ZERO_STEP: u64 = 4 << 20;

/// Makes a range of a sink read as zeroes, checking the cancellation from time to time. Returns the
/// number of bytes that went into a sink that takes them in order.
pub(crate) fn fill_zeroes(
    sink: &dyn BlockSink,
    context: &OperationContext,
    start: u64,
    end: u64,
) -> Result<u64, EngineError> {
    let mut at = start;
    while at < end {
        if context.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let length = (end - at).min(ZERO_STEP);
        sink.write_zeroes(at, length).map_err(|error| EngineError::write(at, error))?;
        at += length;
        if sink.append_only() {
            context.progress.count_written(length);
        }
    }
    Ok(if sink.append_only() { end.saturating_sub(start) } else { 0 })
}

/// Records that a range between the units stays empty for good, in the digest of the file and in a
/// sink that starts empty.
pub(super) fn leave_empty(file: &FileTarget, start: u64, end: u64) -> Result<(), EngineError> {
    file.stored.empty(start, end)?;
    if file.plan.mode != WriteMode::Sparse {
        return Ok(());
    }
    let range = ByteRange { offset: start, length: end - start };
    file.sink.leave_out(range).map_err(|error| EngineError::write(start, error))
}

/// Writes windows to the file.
pub(super) struct Output<'a> {
    pub(super) file: &'a FileTarget,
    pub(super) ordered: &'a Ordered,
    pub(super) context: &'a OperationContext,
}

/// The position in the file, where bytes come in order, and the number of bytes that were written.
struct WriteCursor {
    at: u64,
    written: u64,
}

impl Output<'_> {
    /// Writes a window that the ordered step placed. Returns the number of bytes that were written.
    pub(super) fn store(&self, slot: &Slot, placed: &mut Submission) -> Result<u64, EngineError> {
        let mode = self.file.plan.mode;
        if mode == WriteMode::Append {
            self.ordered.await_write_position(placed.run.0)?;
        }
        let mut cursor = WriteCursor { at: placed.run.0, written: 0 };
        match &self.file.plan.layout {
            Layout::Identity { data_start } => {
                let at = data_start + slot.window.range.offset;
                self.fill_up_to(&mut cursor, at)?;
                cursor.written += self.store_identity(slot)?;
            }
            Layout::Units(rules) => {
                placed.units.sort_unstable_by_key(|unit| unit.file_offset);
                self.store_units(&mut cursor, rules, slot, &placed.units, &placed.inserts)?;
                placed.empty.iter().try_for_each(|(start, end)| leave_empty(self.file, *start, *end))?;
            }
        }
        match mode {
            WriteMode::Sparse => {}
            WriteMode::Dense => {
                for (start, end) in &placed.empty {
                    fill_zeroes(self.file.sink.as_ref(), self.context, *start, *end)?;
                }
            }
            WriteMode::Append => self.ordered.set_write_position(placed.run.1),
        }
        Ok(cursor.written)
    }

    /// Writes a window where the file is the disk.
    pub(super) fn store_identity(&self, slot: &Slot) -> Result<u64, EngineError> {
        let offset = slot.window.range.offset;
        let length = to_usize(slot.window.range.length);
        let data_start = self.file.plan.layout.data_start();
        let bytes = &slot.bytes[..length];
        let written = self.write_window(slot, 0, bytes, data_start + offset, true)?;
        let stored = &self.file.stored;
        if data_start != 0 {
            stored.write(data_start + offset, bytes)?;
        } else {
            // A last cluster that is not whole may share its block of the file with a footer.
            let whole = length / CLUSTER * CLUSTER;
            stored.write(offset + to_u64(whole), &bytes[whole..])?;
        }
        Ok(written)
    }

    fn store_units(
        &self,
        cursor: &mut WriteCursor,
        rules: &UnitRules,
        slot: &Slot,
        units: &[Unit],
        inserts: &[Insert],
    ) -> Result<(), EngineError> {
        let mut inserts = inserts.iter().peekable();
        let mut rest = units;
        while let Some(first) = rest.first() {
            while let Some(insert) = inserts.next_if(|insert| insert.at < first.file_offset) {
                self.write(cursor, insert.at, &insert.bytes)?;
            }
            let neighbours = 1 + match first.encoded {
                Some(_) => rest[1..].iter().take_while(|unit| unit.joined).count(),
                None => following_units(rules, rest),
            };
            let (now, later) = rest.split_at(neighbours);
            match first.encoded {
                Some(encoded) => {
                    let last = now.last().and_then(|unit| unit.encoded).unwrap_or(encoded);
                    let end = last.at + rules.frame.length + from_u32(last.length);
                    self.write(cursor, first.file_offset, &slot.encoded[encoded.at..end])?;
                }
                None => self.write_verbatim(cursor, rules, slot, now)?,
            }
            rest = later;
        }
        inserts.try_for_each(|insert| self.write(cursor, insert.at, &insert.bytes))
    }

    /// Writes units that are stored unencoded and are neighbours in the file.
    fn write_verbatim(
        &self,
        cursor: &mut WriteCursor,
        rules: &UnitRules,
        slot: &Slot,
        units: &[Unit],
    ) -> Result<(), EngineError> {
        let Some(first) = units.first() else { return Ok(()) };
        let unit = u64::from(rules.unit);
        let mut at = first.file_offset;
        if rules.frame.length > 0 {
            let mut frame = vec![0; rules.frame.length];
            rules.frame.write(first.offset / unit, rules.unit, &mut frame);
            self.write(cursor, at, &frame)?;
            at += to_u64(frame.len());
        }
        let start = to_usize(first.offset - slot.window.range.offset);
        let length = unit * to_u64(units.len());
        let bytes = &slot.bytes[start..start + to_usize(length)];
        self.fill_up_to(cursor, at)?;
        // Holes inside of small units are not worth a write of their own.
        let moved = self.write_window(slot, start, bytes, at, from_u32(rules.unit) > CLUSTER)?;
        cursor.written += moved;
        cursor.at = at + length;
        record_verbatim(&self.file.stored, &slot.leaves, start, at, bytes)
    }

    /// Writes bytes of the window unencoded; their zeroes are left out or made, depending on the
    /// mode. Returns the number of bytes that were written.
    fn write_window(
        &self,
        slot: &Slot,
        start: usize,
        bytes: &[u8],
        at: u64,
        holes: bool,
    ) -> Result<u64, EngineError> {
        let sink = self.file.sink.as_ref();
        let end = start + bytes.len();
        let write = |from: usize, to: usize| {
            let at = at + to_u64(from - start);
            let bytes = &bytes[from - start..to.min(end) - start];
            sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
            self.context.progress.count_written(to_u64(bytes.len()));
            Ok::<_, EngineError>(to_u64(bytes.len()))
        };
        let mode = self.file.plan.mode;
        if mode == WriteMode::Append || !holes {
            return write(start, end);
        }
        let zeroes = |from: usize, to: usize| match mode {
            WriteMode::Dense if from < to => {
                let at = at + to_u64(from - start);
                fill_zeroes(sink, self.context, at, at + to_u64(to - from)).map(|_| ())
            }
            WriteMode::Dense | WriteMode::Sparse | WriteMode::Append => Ok(()),
        };
        let least = if mode == WriteMode::Dense { MIN_ZERO_RUN } else { 1 };
        let mut written = 0;
        let mut open: Option<(usize, usize)> = None;
        for (from, to) in slot.zeroes.data_runs(start, end.next_multiple_of(crate::util::zero::BLOCK)) {
            open = match open {
                Some((first, last)) if from - last < least => Some((first, to)),
                Some((first, last)) => {
                    written += write(first, last)?;
                    zeroes(last, from)?;
                    Some((from, to))
                }
                None => {
                    zeroes(start, from)?;
                    Some((from, to))
                }
            };
        }
        match open {
            Some((first, last)) => {
                written += write(first, last)?;
                zeroes(last, end)?;
            }
            None => zeroes(start, end)?,
        }
        Ok(written)
    }

    fn write(&self, cursor: &mut WriteCursor, at: u64, bytes: &[u8]) -> Result<(), EngineError> {
        self.fill_up_to(cursor, at)?;
        self.file.sink.write_all_at(bytes, at).map_err(|error| EngineError::write(at, error))?;
        self.file.stored.write(at, bytes)?;
        let length = to_u64(bytes.len());
        self.context.progress.count_written(length);
        cursor.written += length;
        cursor.at = at + length;
        Ok(())
    }

    /// Fills the file up to the next bytes, where bytes come in order.
    fn fill_up_to(&self, cursor: &mut WriteCursor, at: u64) -> Result<(), EngineError> {
        if self.file.plan.mode == WriteMode::Append {
            cursor.written += fill_zeroes(self.file.sink.as_ref(), self.context, cursor.at, at)?;
        }
        Ok(())
    }
}

/// Returns how many units follow the first one in the file as they do on the disk.
fn following_units(rules: &UnitRules, units: &[Unit]) -> usize {
    if rules.frame.length > 0 {
        return 0;
    }
    let unit = u64::from(rules.unit);
    let follows = |(before, unit_after): (&Unit, &Unit)| {
        unit_after.encoded.is_none()
            && unit_after.offset == before.offset + unit
            && unit_after.file_offset == before.file_offset + unit
    };
    units.iter().zip(&units[1..]).take_while(|pair| follows(*pair)).count()
}

/// Records in the digest of the file what was written unencoded. Where clusters of the disk become
/// blocks of the file, their leaves are known already.
fn record_verbatim(
    stored: &StoredDigest,
    leaves: &[Option<[u8; 32]>],
    start: usize,
    at: u64,
    bytes: &[u8],
) -> Result<(), EngineError> {
    let cluster = to_u64(CLUSTER);
    let aligned =
        at.is_multiple_of(cluster) && start.is_multiple_of(CLUSTER) && bytes.len().is_multiple_of(CLUSTER);
    if !aligned {
        return Ok(stored.write(at, bytes)?);
    }
    let first = start / CLUSTER;
    for (leaf, block) in leaves[first..first + bytes.len() / CLUSTER].iter().zip(at / cluster..) {
        stored.leaf(block, *leaf)?;
    }
    Ok(())
}
