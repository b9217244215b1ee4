//! Where stored units go in a new file, by the rules that its format gave.

use crate::{
    codec::{CodecKind, CodecSpec},
    error::EngineError,
    num::{align_up, to_u64},
    ports::{Placed, PortError, Rules},
};

/// Largest unit that is placed.
const MAX_UNIT: u32 = 32 << 20;
/// Largest offset that a file may reach.
const MAX_FILE: u64 = 1 << 62;
/// Runs in one report.
pub(crate) const REPORT: usize = 4096;

/// Rules that make sense.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// The file is the disk, shifted.
    Identity { data_start: u64 },
    /// Units are placed one behind the other.
    Units(UnitRules),
}

/// Placement of units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitRules {
    pub(crate) data_start: u64,
    pub(crate) unit: u32,
    pub(crate) align: u64,
    pub(crate) verbatim_align: u64,
    pub(crate) skip_zero: bool,
    pub(crate) codec: Option<CodecKind>,
    pub(crate) verbatim_if_larger: bool,
    pub(crate) max_encoded: u32,
}

impl Layout {
    /// Where the payload begins.
    pub(crate) fn data_start(&self) -> u64 {
        match self {
            Self::Identity { data_start } => *data_start,
            Self::Units(rules) => rules.data_start,
        }
    }

    /// Understands a plugin's rules.
    pub(crate) fn parse(rules: &Rules) -> Result<Self, EngineError> {
        let unsupported = |what: &str| EngineError::Unsupported { what: what.to_owned() };
        let bad = |what: &str| {
            PortError::bad_answer(
                "plugin.rules",
                format!("the format plugin's {what}; report this to its author"),
            )
        };
        if !rules.frame.is_empty() || rules.align_data != 0 {
            return Err(unsupported("a layout with frames around its units"));
        }
        if rules.interleave_every != 0 {
            return Err(unsupported("a layout with tables between its units"));
        }
        if rules.data_start > MAX_FILE {
            return Err(bad("data starts behind any file's end").into());
        }
        if rules.identity {
            return match rules.codec {
                None => Ok(Self::Identity { data_start: rules.data_start }),
                Some(_) => Err(bad("identity layout has a codec").into()),
            };
        }
        let codec = match &rules.codec {
            None => None,
            Some(codec) => {
                Some(CodecSpec::parse(codec).ok_or_else(|| unsupported("the codec of this layout"))?.kind)
            }
        };
        let verbatim_align = if rules.verbatim_align == 0 { rules.align } else { rules.verbatim_align };
        let aligned = |align: u32| align.is_power_of_two() && align <= MAX_UNIT;
        if !(rules.unit.is_power_of_two() && (512..=MAX_UNIT).contains(&rules.unit)) {
            return Err(bad("unit is not a power of two between 512 bytes and 32 MiB").into());
        }
        if !aligned(rules.align) || !aligned(verbatim_align) {
            return Err(bad("alignment is not a power of two up to 32 MiB").into());
        }
        if rules.max_encoded > rules.unit {
            return Err(bad("longest encoded unit is longer than a unit").into());
        }
        Ok(Self::Units(UnitRules {
            data_start: rules.data_start,
            unit: rules.unit,
            align: u64::from(rules.align),
            verbatim_align: u64::from(verbatim_align),
            skip_zero: rules.skip_zero,
            codec,
            verbatim_if_larger: rules.verbatim_if_larger,
            max_encoded: if rules.max_encoded == 0 { rules.unit - 1 } else { rules.max_encoded },
        }))
    }
}

/// One unit of a batch on its way to the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// Virtual offset.
    pub(crate) offset: u64,
    /// Encoded bytes and where they are in the batch's buffer of encoded units; `None` stores the unit as it is.
    pub(crate) encoded: Option<Encoded>,
    /// Set by the placer.
    pub(crate) file_offset: u64,
}

/// See [`Unit`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded {
    pub(crate) at: usize,
    pub(crate) length: u32,
}

/// Hands out file offsets, batch after batch in the order of the disk, so that the result does not depend on who was
/// faster.
///
/// Within a batch the encoded units come first, packed by `align`, then those that are stored as they are, by
/// `verbatim_align`. The gap that this alignment leaves takes encoded units of later batches; one gap is remembered.
#[derive(Debug)]
pub(crate) struct Placer {
    rules: UnitRules,
    end: u64,
    gap: (u64, u64),
    pending: Option<Placed>,
    finished: Vec<Placed>,
}

/// The file would end behind the last possible offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileTooLarge;

impl Placer {
    pub(crate) fn new(rules: UnitRules) -> Self {
        Self { rules, end: rules.data_start, gap: (0, 0), pending: None, finished: Vec::new() }
    }

    /// Places the units of the next batch, which are in ascending order.
    pub(crate) fn place(&mut self, units: &mut [Unit]) -> Result<(), FileTooLarge> {
        for unit in units.iter_mut() {
            if let Some(encoded) = unit.encoded {
                unit.file_offset = self.place_encoded(u64::from(encoded.length))?;
            }
        }
        for unit in units.iter_mut().filter(|unit| unit.encoded.is_none()) {
            let start = align_up(self.end, self.rules.verbatim_align).ok_or(FileTooLarge)?;
            if start - self.end > self.gap.1 - self.gap.0 {
                self.gap = (self.end, start);
            }
            unit.file_offset = start;
            self.end = start + u64::from(self.rules.unit);
        }
        units.iter().for_each(|unit| self.report(unit));
        match self.end <= MAX_FILE {
            true => Ok(()),
            false => Err(FileTooLarge),
        }
    }

    fn place_encoded(&mut self, length: u64) -> Result<u64, FileTooLarge> {
        let in_gap = align_up(self.gap.0, self.rules.align).ok_or(FileTooLarge)?;
        if in_gap + length <= self.gap.1 {
            self.gap.0 = in_gap + length;
            return Ok(in_gap);
        }
        let start = align_up(self.end, self.rules.align).ok_or(FileTooLarge)?;
        self.end = start + length;
        Ok(start)
    }

    fn report(&mut self, unit: &Unit) {
        let length = u64::from(self.rules.unit);
        let stored_length = unit.encoded.map_or(0, |encoded| encoded.length);
        let placed = Placed { offset: unit.offset, length, file_offset: unit.file_offset, stored_length };
        match &mut self.pending {
            Some(run)
                if run.stored_length == 0
                    && stored_length == 0
                    && run.offset + run.length == placed.offset
                    && run.file_offset + run.length == placed.file_offset =>
            {
                run.length += length;
            }
            pending => self.finished.extend(pending.replace(placed)),
        }
    }

    /// Takes a report when there is enough for one.
    pub(crate) fn take_report(&mut self) -> Option<Vec<Placed>> {
        (self.finished.len() >= REPORT).then(|| self.finished.drain(..REPORT).collect())
    }

    /// Where the payload ends, and the last reports.
    pub(crate) fn finish(mut self) -> (u64, Vec<Vec<Placed>>) {
        self.finished.extend(self.pending.take());
        (self.end, self.finished.chunks(REPORT).map(<[Placed]>::to_vec).collect())
    }
}

/// Bytes that an encoded unit takes in the batch's buffer: padded, so that neighbours are written in one go.
pub(crate) fn padded(length: usize, align: u64) -> Option<u64> {
    align_up(to_u64(length), align)
}

#[cfg(test)]
mod tests;
