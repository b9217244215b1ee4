//! Where stored units go in a new file, by the rules that its format gave.

use imprint_ports::{FrameField, Placed, PortError, Rules};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{CodecKind, CodecSpec},
    error::EngineError,
    util::num::{align_up, from_u32, to_u64},
};

/// The largest unit that is placed, in bytes.
const MAX_UNIT: u32 = 32 << 20;
/// The longest frame in bytes: a sector bitmap of the largest unit is an eighth of it.
const MAX_FRAME: usize = 64 << 10;
/// The largest offset that a file may reach.
const MAX_FILE: u64 = 1 << 62;
/// The number of runs in one report.
pub(crate) const REPORT: usize = 4096;

/// Validated placement rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Layout {
    /// The file is the disk, shifted by an offset.
    Identity { data_start: u64 },
    /// Units are placed one behind the other.
    Units(UnitRules),
}

/// The rules for the placement of units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UnitRules {
    pub(crate) data_start: u64,
    pub(crate) unit: u32,
    pub(crate) align: u64,
    pub(crate) verbatim_align: u64,
    /// The alignment of what is behind the frame; 1 means none.
    pub(crate) align_data: u64,
    pub(crate) frame: Frame,
    pub(crate) skip_zero: bool,
    pub(crate) codec: Option<CodecKind>,
    pub(crate) verbatim_if_larger: bool,
    /// The longest encoded unit in bytes, without its frame.
    pub(crate) max_encoded: u32,
    /// The number of units of the disk in a group that ends with bytes of the plugin; 0 means no
    /// groups.
    pub(crate) interleave_every: u32,
}

/// The fields that precede every stored unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Frame {
    fields: Vec<FrameField>,
    pub(crate) length: usize,
}

impl Frame {
    fn parse(fields: &[FrameField]) -> Option<Self> {
        let lengths = fields.iter().map(|field| match field {
            FrameField::Literal(bytes) => bytes.len(),
            FrameField::AddressU64Le(_) => 8,
            FrameField::StoredLengthU32Le => 4,
        });
        let length = lengths.fold(0, usize::saturating_add);
        (length <= MAX_FRAME).then(|| Self { fields: fields.to_vec(), length })
    }

    /// Writes the frame of a unit, `stored` bytes long without it, to the start of `out`.
    pub(crate) fn write(&self, number: u64, stored: u32, out: &mut [u8]) {
        let mut rest = out;
        let mut put = |bytes: &[u8]| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            now.copy_from_slice(bytes);
            rest = later;
        };
        for field in &self.fields {
            match field {
                FrameField::Literal(bytes) => put(bytes),
                FrameField::AddressU64Le(factor) => {
                    put(&number.wrapping_mul(u64::from(*factor)).to_le_bytes());
                }
                FrameField::StoredLengthU32Le => put(&stored.to_le_bytes()),
            }
        }
    }
}

/// Where something may start: `lead` bytes before a multiple of `align`.
#[derive(Clone, Copy, Debug)]
struct Fit {
    align: u64,
    lead: u64,
}

impl Fit {
    fn new(align: u64, align_data: u64, frame: usize) -> Self {
        if align_data > align {
            Self { align: align_data, lead: to_u64(frame) & (align_data - 1) }
        } else {
            Self { align, lead: 0 }
        }
    }

    /// Returns whether both alignments can hold at once.
    fn holds(align: u64, align_data: u64, frame: usize) -> bool {
        to_u64(frame).is_multiple_of(align.min(align_data))
    }

    /// Returns the first such offset from `at` on.
    fn next(self, at: u64) -> Result<u64, FileTooLarge> {
        let data = at.checked_add(self.lead).and_then(|at| align_up(at, self.align)).ok_or(FileTooLarge)?;
        Ok(data - self.lead)
    }
}

impl UnitRules {
    /// Returns the space for an encoded unit in bytes; no encoder needs more for data that does not
    /// compress.
    pub(crate) fn room(&self) -> usize {
        let unit = from_u32(self.unit);
        from_u32(self.max_encoded).min(unit + unit / 64 + 512)
    }

    /// Returns the number of bytes that an encoded unit with its frame takes in the batch's buffer:
    /// padded, so that neighbours are written together.
    pub(crate) fn stride(&self, length: usize) -> usize {
        let align = crate::util::num::to_usize(self.align.max(self.align_data));
        (self.frame.length + length).next_multiple_of(align)
    }

    fn encoded_fit(&self) -> Fit {
        Fit::new(self.align, self.align_data, self.frame.length)
    }

    fn verbatim_fit(&self) -> Fit {
        Fit::new(self.verbatim_align, self.align_data, self.frame.length)
    }
}

fn bad(what: &str) -> EngineError {
    let message = format!("the format plugin's {what}; report this to its author");
    PortError::bad_answer("plugin.rules", message).into()
}

impl Layout {
    /// Returns whether units are encoded.
    pub(crate) fn encodes(&self) -> bool {
        match self {
            Self::Identity { .. } => false,
            Self::Units(rules) => rules.codec.is_some(),
        }
    }

    /// Returns the file offset at which the payload starts.
    pub(crate) fn data_start(&self) -> u64 {
        match self {
            Self::Identity { data_start } => *data_start,
            Self::Units(rules) => rules.data_start,
        }
    }

    /// Parses and validates a plugin's rules.
    pub(crate) fn parse(rules: &Rules) -> Result<Self, EngineError> {
        if rules.data_start > MAX_FILE {
            return Err(bad("data starts behind any file's end"));
        }
        if rules.identity {
            return if rules.codec.is_none() && rules.frame.is_empty() && rules.interleave_every == 0 {
                Ok(Self::Identity { data_start: rules.data_start })
            } else {
                Err(bad("identity layout has a codec, a frame, or tables between its units"))
            };
        }
        let codec = match &rules.codec {
            None => None,
            Some(codec) => {
                let what = || EngineError::Unsupported { what: "the codec of this layout".to_owned() };
                Some(CodecSpec::parse(codec).ok_or_else(what)?.kind)
            }
        };
        let or = |value: u32, otherwise: u32| u64::from(if value == 0 { otherwise } else { value });
        let units = UnitRules {
            data_start: rules.data_start,
            unit: rules.unit,
            align: u64::from(rules.align),
            verbatim_align: or(rules.verbatim_align, rules.align),
            align_data: or(rules.align_data, 1),
            frame: Frame::parse(&rules.frame).ok_or_else(|| bad("frame is longer than 64 KiB"))?,
            skip_zero: rules.skip_zero,
            codec,
            verbatim_if_larger: rules.verbatim_if_larger,
            max_encoded: if rules.max_encoded == 0 {
                rules.unit.saturating_sub(1)
            } else {
                rules.max_encoded
            },
            interleave_every: rules.interleave_every,
        };
        units.check()?;
        Ok(Self::Units(units))
    }
}

impl UnitRules {
    fn check(&self) -> Result<(), EngineError> {
        let Self { unit, align, verbatim_align, align_data, .. } = *self;
        if !(unit.is_power_of_two() && (512..=MAX_UNIT).contains(&unit)) {
            return Err(bad("unit is not a power of two between 512 bytes and 32 MiB"));
        }
        let aligned = |align: u64| align.is_power_of_two() && align <= u64::from(MAX_UNIT);
        if ![align, verbatim_align, align_data].into_iter().all(aligned) {
            return Err(bad("alignment is not a power of two up to 32 MiB"));
        }
        let fits = |align| Fit::holds(align, align_data, self.frame.length);
        if !fits(align) || !fits(verbatim_align) {
            return Err(bad("frame does not fit between its two alignments"));
        }
        let most = if self.verbatim_if_larger { unit } else { unit * 2 + 4096 };
        if self.max_encoded > most {
            return Err(bad("longest encoded unit is longer than a unit can become"));
        }
        Ok(())
    }
}

/// One unit of a batch on its way to the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// The virtual offset.
    pub(crate) offset: u64,
    /// The encoded bytes in the batch's buffer of encoded units; `None` stores the unit unencoded.
    pub(crate) encoded: Option<Encoded>,
    /// The file offset of the frame, or of the unit itself; set by the placer.
    pub(crate) file_offset: u64,
    /// Whether the unit follows the encoded unit before it in the file as it does in the buffer,
    /// padding included; set by the placer.
    pub(crate) joined: bool,
}

/// The encoded bytes of a [`Unit`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded {
    /// The offset of the frame in the buffer.
    pub(crate) at: usize,
    /// The length without the frame.
    pub(crate) length: u32,
}

/// Assigns file offsets, batch after batch in the order of the disk, so that the result does not
/// depend on the speed of the threads.
///
/// Within a batch the encoded units come first, packed by `align`, then those that are stored
/// unencoded, by `verbatim_align`. The gap that this alignment leaves takes encoded units of later
/// batches, where the file can be written in any order; one gap is remembered. With tables between
/// the units, everything is in the order of the disk.
#[derive(Debug)]
pub(crate) struct Placer {
    rules: UnitRules,
    fills_gaps: bool,
    end: u64,
    gap: (u64, u64),
    /// The end of the previous encoded unit in the file; encoded units of one batch only.
    last: Option<u64>,
    /// The group of the units so far.
    group: Option<u64>,
    pending: Option<Placed>,
    finished: Vec<Placed>,
}

/// The error for a file that would end behind the last possible offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileTooLarge;

/// File ranges that stay empty.
pub(crate) type Empty = Vec<(u64, u64)>;

impl Placer {
    /// Returns a placer. `fills_gaps` is for files that can be written in any order.
    pub(crate) fn new(rules: UnitRules, fills_gaps: bool) -> Self {
        Self {
            fills_gaps: fills_gaps && rules.codec.is_some() && rules.interleave_every == 0,
            end: rules.data_start,
            rules,
            gap: (0, 0),
            last: None,
            group: None,
            pending: None,
            finished: Vec::new(),
        }
    }

    /// Returns the file offset at which the payload ends so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Starts a batch: a new buffer of encoded units.
    pub(crate) fn begin_batch(&mut self) {
        self.last = None;
    }

    /// Returns how many of the next units come before tables may have to.
    pub(crate) fn until_tables(&self, units: &[Unit]) -> usize {
        match self.rules.interleave_every {
            0 => units.len(),
            _ => usize::from(!units.is_empty()),
        }
    }

    /// Returns whether tables come before this unit.
    pub(crate) fn tables_before(&mut self, unit: &Unit) -> bool {
        let Some(every) = std::num::NonZeroU32::new(self.rules.interleave_every) else { return false };
        let group = unit.offset / u64::from(self.rules.unit) / u64::from(every.get());
        self.group.replace(group).is_some_and(|before| before != group)
    }

    /// Returns the file offset of tables that would come next.
    pub(crate) fn tables_at(&self) -> Result<u64, FileTooLarge> {
        align_up(self.end, self.rules.align).ok_or(FileTooLarge)
    }

    /// Reserves `length` bytes of tables at `at`.
    pub(crate) fn insert_tables(&mut self, at: u64, length: usize, empty: &mut Empty) {
        if length > 0 {
            empty.extend((self.end < at).then_some((self.end, at)));
            self.end = at + to_u64(length);
        }
    }

    /// Places the next units of a batch, which are in ascending order, and records what stays
    /// empty.
    pub(crate) fn place(&mut self, units: &mut [Unit], empty: &mut Empty) -> Result<(), FileTooLarge> {
        let frame = to_u64(self.rules.frame.length);
        for unit in units.iter_mut() {
            if let Some(encoded) = unit.encoded {
                self.place_encoded(unit, frame + u64::from(encoded.length), empty)?;
            }
        }
        let fit = self.rules.verbatim_fit();
        for unit in units.iter_mut().filter(|unit| unit.encoded.is_none()) {
            let start = fit.next(self.end)?;
            self.leave(start, empty);
            unit.file_offset = start;
            self.end = start + frame + u64::from(self.rules.unit);
        }
        units.iter().for_each(|unit| self.report(unit));
        if self.end <= MAX_FILE { Ok(()) } else { Err(FileTooLarge) }
    }

    /// Leaves a gap before `start`; the largest such gap is kept for encoded units.
    fn leave(&mut self, start: u64, empty: &mut Empty) {
        let mut left = (self.end, start);
        if self.fills_gaps && left.1 - left.0 > self.gap.1 - self.gap.0 {
            std::mem::swap(&mut left, &mut self.gap);
        }
        empty.extend((left.0 < left.1).then_some(left));
    }

    fn place_encoded(&mut self, unit: &mut Unit, length: u64, empty: &mut Empty) -> Result<(), FileTooLarge> {
        let fit = self.rules.encoded_fit();
        let in_gap = fit.next(self.gap.0)?;
        let from = if in_gap + length <= self.gap.1 {
            std::mem::replace(&mut self.gap.0, in_gap + length)
        } else {
            let end = fit.next(self.end)? + length;
            std::mem::replace(&mut self.end, end)
        };
        let start = fit.next(from)?;
        unit.file_offset = start;
        unit.joined = self.last.replace(start + length) == Some(from);
        empty.extend((!unit.joined && from < start).then_some((from, start)));
        Ok(())
    }

    fn report(&mut self, unit: &Unit) {
        let length = u64::from(self.rules.unit);
        let stored_length = unit.encoded.map_or(0, |encoded| encoded.length);
        let placed = Placed { offset: unit.offset, length, file_offset: unit.file_offset, stored_length };
        match &mut self.pending {
            Some(run)
                if self.rules.frame.length == 0
                    && run.stored_length == 0
                    && stored_length == 0
                    && run.offset + run.length == placed.offset
                    && run.file_offset + run.length == placed.file_offset =>
            {
                run.length += length;
            }
            pending => self.finished.extend(pending.replace(placed)),
        }
    }

    /// Returns a report when there are enough placements for one.
    pub(crate) fn take_report(&mut self) -> Option<Vec<Placed>> {
        (self.finished.len() >= REPORT).then(|| self.finished.drain(..REPORT).collect())
    }

    /// Returns all placements that were not reported yet.
    pub(crate) fn take_reports(&mut self) -> Vec<Vec<Placed>> {
        self.finished.extend(self.pending.take());
        let reports = self.finished.chunks(REPORT).map(<[Placed]>::to_vec).collect();
        self.finished.clear();
        reports
    }

    /// Returns the gap that was not filled.
    pub(crate) fn last_gap(&self) -> (u64, u64) {
        self.gap
    }
}

#[cfg(test)]
mod tests;
