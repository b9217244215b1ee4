//! L2 tables, read a slice at a time and ahead of use.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{MAX_RANGES, MAX_READ, read_all},
        wire::to_usize,
    },
    host::Blob,
    types::ByteRange,
};

use crate::{header::Header, l1::L1};

/// A table is read in pieces of at most this many bytes: the host caches in blocks of 64 KiB.
const SLICE: u64 = 64 << 10;

/// The slices that were read last: at most 1 MiB.
pub(crate) struct Slices {
    /// Bytes of a slice.
    bytes: u64,
    /// Slices of a table.
    per_table: u64,
    /// Virtual bytes that a slice describes.
    span: u64,
    /// By ascending slice number.
    held: Vec<(u64, Vec<u8>)>,
    /// How many slices the next read brings; grows while a map is read in order.
    ahead: usize,
}

/// Where in the disk a slice is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// Counted over the whole disk, empty tables included.
    pub(crate) number: u64,
    /// First virtual byte.
    pub(crate) start: u64,
}

impl Slices {
    pub(crate) fn new(header: &Header) -> Self {
        let bytes = header.cluster().min(SLICE);
        let per_table = header.cluster() / bytes;
        Self { bytes, per_table, span: header.l2_span() / per_table, held: Vec::new(), ahead: 1 }
    }

    /// The slice that describes the virtual byte.
    pub(crate) fn at(&self, position: u64) -> Slice {
        let number = position / self.span;
        Slice { number, start: number * self.span }
    }

    /// The bytes of a slice of a table that exists; reads it and what follows it below `end` when
    /// it is not at hand.
    pub(crate) fn load(
        &mut self,
        blob: &dyn Blob,
        l1: &L1,
        slice: Slice,
        end: u64,
    ) -> Result<&[u8], FormatError> {
        let found = self.held.binary_search_by_key(&slice.number, |(number, _)| *number);
        let index = match found {
            Ok(index) => index,
            Err(_) => {
                self.read(blob, l1, slice, end)?;
                0
            }
        };
        self.held.get(index).map(|(_, bytes)| bytes.as_slice()).ok_or_else(|| {
            FormatError::Request(format!("the map was asked for the empty L2 table at {:#x}", slice.start))
        })
    }

    fn read(&mut self, blob: &dyn Blob, l1: &L1, slice: Slice, end: u64) -> Result<(), FormatError> {
        let goes_on = self.held.last().is_some_and(|(last, _)| *last < slice.number);
        let most = to_usize(u64::from(MAX_READ) / self.bytes)?.min(MAX_RANGES);
        self.ahead = if goes_on { (self.ahead * 2).min(most) } else { 1 };
        let mut numbers = Vec::new();
        let mut next = slice.number;
        while numbers.len() < self.ahead && (numbers.is_empty() || next * self.span < end) {
            let Some(table) = l1.next_table(next / self.per_table) else { break };
            next = next.max(table * self.per_table);
            numbers.push(next);
            next += 1;
        }
        // The loop looks one table ahead of its own bound.
        numbers.retain(|number| *number == slice.number || number * self.span < end);
        let ranges: Vec<_> = numbers.iter().map(|number| self.range(l1, *number)).collect();
        let read = read_all(blob, &ranges)?;
        self.held = numbers.into_iter().zip(read).collect();
        Ok(())
    }

    fn range(&self, l1: &L1, number: u64) -> ByteRange {
        let offset = l1.table(number / self.per_table) + number % self.per_table * self.bytes;
        ByteRange { offset, length: self.bytes }
    }
}
