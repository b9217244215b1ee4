//! The layout of a new file, the same bytes for the same placements.
//!
//! ```text
//! fixed    payload | footer
//! dynamic  copy of the footer | header | block allocation table | blocks | footer
//! ```
//!
//! A block is its sector bitmap, all ones, and its payload, which begins at a multiple of 4 KiB of
//! the file. There are no times in it, and the id follows from the disk's size and the options. The
//! copy at the start is written last.

mod request;

use std::ops::Range;

use imprint_plugin_sdk::{
    error::Result,
    format::{
        self, CreateRequest, FormatError, FrameField, MetadataPage, Placed, Rules, page_of_parts,
        wire::{round_up, to_u64, to_usize},
    },
    types::ByteRange,
};

use crate::{
    footer,
    geometry::SECTOR,
    header::{self, Header, NO_BLOCK},
};
use request::Plan;

/// The most runs of one report.
const MAX_RUNS: usize = 4096;
/// Where payload of a block begins: at a multiple of this.
const ALIGN_DATA: u32 = 4096;
/// The header follows the copy of the footer, and the table the header.
const HEADER_AT: u64 = footer::LENGTH;
const TABLE_AT: u64 = HEADER_AT + 1024;
const ENTRY: u64 = 4;

/// The layout of a file being written.
///
/// Memory: a word for each block of the disk, at most 16 MiB.
pub struct Layout {
    plan: Plan,
    /// Sectors of the bitmaps, by block; empty for a fixed disk.
    table: Vec<u32>,
    /// No placement may start before this virtual byte.
    next: u64,
    /// Where the payload ends, as far as it was reported.
    payload_end: u64,
    /// The tables were asked for: nothing more is placed.
    closed: bool,
}

impl Layout {
    /// Checks the request and decides where payload begins.
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, FormatError> {
        let plan = Plan::new(request)?;
        let entries = plan.block_size.map_or(0, |block| plan.virtual_size.div_ceil(block.into()));
        let table = vec![NO_BLOCK; to_usize(entries)?];
        let mut layout = Self { plan, table, next: 0, payload_end: 0, closed: false };
        layout.payload_end = layout.data_start();
        Ok(layout)
    }

    /// The bytes of the table that are at these places of it.
    fn table(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let (first, end) = (to_usize(range.start / ENTRY)?, to_usize(range.end / ENTRY)?);
        // What follows the last entry looks like entries without a block.
        let entries = (first..end).map(|index| self.table.get(index).copied().unwrap_or(NO_BLOCK));
        Ok(entries.flat_map(u32::to_be_bytes).collect())
    }

    fn header(&self, block_size: u32) -> Header {
        Header {
            table_offset: TABLE_AT,
            entries: u32::try_from(self.table.len()).expect("at most 2040 GiB of blocks of 512 KiB"),
            block_size,
            parent_id: [0; 16],
            parent_name: Vec::new(),
            locators: Vec::new(),
        }
    }

    fn table_length(&self) -> u64 {
        round_up(to_u64(self.table.len()) * ENTRY, SECTOR)
    }

    fn data_start(&self) -> u64 {
        match self.plan.block_size {
            None => 0,
            Some(_) => TABLE_AT + self.table_length(),
        }
    }

    fn take(&mut self, run: &Placed) -> Result<(), FormatError> {
        let Some(block_size) = self.plan.block_size.map(u64::from) else {
            return Err(bad_run("is not asked for: a fixed disk is the disk itself", run));
        };
        let index = run.offset / block_size;
        let entry = usize::try_from(index).ok().and_then(|index| self.table.get_mut(index));
        let Some(entry) = entry else { return Err(bad_run("is behind the disk", run)) };
        if run.offset < self.next {
            return Err(bad_run("is not in ascending order", run));
        }
        if !run.offset.is_multiple_of(block_size) || run.length == 0 || run.length > block_size {
            return Err(bad_run("is not one block", run));
        }
        if run.stored_length != 0 {
            return Err(bad_run("is encoded, which no VHD is", run));
        }
        let bitmap = header::bitmap_size(self.plan.block_size.unwrap_or_default());
        if run.file_offset < self.payload_end || !run.file_offset.is_multiple_of(SECTOR) {
            return Err(bad_run("is upon something else, or not at a sector", run));
        }
        let end = run.file_offset.saturating_add(bitmap + block_size);
        *entry = u32::try_from(run.file_offset / SECTOR)
            .ok()
            .filter(|sector| *sector != NO_BLOCK)
            .ok_or_else(|| bad_run("is where no entry can point", run))?;
        self.next = run.offset + block_size;
        self.payload_end = end;
        Ok(())
    }
}

impl format::Layout for Layout {
    /// Whole blocks, each behind its bitmap; a fixed disk is the disk itself.
    fn rules(&mut self) -> Rules {
        let Some(block_size) = self.plan.block_size else { return Rules::identity() };
        let bitmap = vec![0xff; usize::try_from(header::bitmap_size(block_size)).expect("one sector")];
        Rules {
            align: 512,
            align_data: ALIGN_DATA,
            frame: vec![FrameField::Literal(bitmap)],
            ascending: true,
            ..Rules::units(self.data_start(), block_size)
        }
    }

    /// Takes the next placements, in ascending virtual order: blocks, one a run.
    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        if runs.len() > MAX_RUNS {
            let text = format!("{} runs in one report; {MAX_RUNS} are possible", runs.len());
            return Err(FormatError::Request(text).into());
        }
        if self.closed {
            let text = "a placement came after the tables were asked for".to_owned();
            return Err(FormatError::Request(text).into());
        }
        Ok(runs.iter().try_for_each(|run| self.take(run))?)
    }

    /// Returns a page of everything that is not payload, in the order in which it is written.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        self.closed = true;
        let footer = self.plan.footer(HEADER_AT).bytes();
        let part = |offset, length| ByteRange { offset, length };
        let Some(block_size) = self.plan.block_size else {
            let size = self.plan.virtual_size;
            let parts = [part(size, footer::LENGTH)];
            return page_of_parts(&parts, start, max_bytes, size + footer::LENGTH, |_, range| {
                slice(&footer, range)
            });
        };
        let footer_at = round_up(end.max(self.payload_end), SECTOR);
        let parts = [
            part(TABLE_AT, self.table_length()),
            part(HEADER_AT, header::LENGTH.into()),
            part(footer_at, footer::LENGTH),
            part(0, footer::LENGTH),
        ];
        page_of_parts(&parts, start, max_bytes, footer_at + footer::LENGTH, |part, range| match part {
            0 => self.table(range),
            1 => slice(&self.header(block_size).bytes(), range),
            _ => slice(&footer, range),
        })
    }
}

fn slice(bytes: &[u8], range: Range<u64>) -> Result<Vec<u8>> {
    Ok(bytes.get(to_usize(range.start)?..to_usize(range.end)?).unwrap_or_default().to_vec())
}

fn bad_run(what: &str, run: &Placed) -> FormatError {
    let Placed { offset, length, file_offset, stored_length } = run;
    FormatError::Request(format!(
        "the placement of {length} bytes at {offset:#x} ({stored_length} encoded) at {file_offset:#x} of the file {what}"
    ))
}
