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

use imprint_plugin_sdk::format::{CreateRequest, FrameField, MetadataPage, Placed, Rules, Segment};

use crate::{
    error::VhdError,
    footer,
    header::{self, Header, NO_BLOCK},
    wire::{SECTOR, round_up, to_u64, to_usize},
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
/// What a block takes beside its payload: bitmap and padding.
const BESIDE_BLOCK: u64 = 4096;
/// What a file takes beside its blocks, at most: footers, header, and a table of 16 MiB.
const BESIDE_BLOCKS: u64 = (16 << 20) + 4096;

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
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, VhdError> {
        let plan = Plan::new(request)?;
        let entries = plan.block_size.map_or(0, |block| plan.virtual_size.div_ceil(block.into()));
        let table = vec![NO_BLOCK; to_usize(entries)?];
        let mut layout = Self { plan, table, next: 0, payload_end: 0, closed: false };
        layout.payload_end = layout.data_start();
        Ok(layout)
    }

    /// Whole blocks, each behind its bitmap; a fixed disk is the disk itself.
    pub(crate) fn rules(&self) -> Rules {
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
    pub(crate) fn placed(&mut self, runs: &[Placed]) -> Result<(), VhdError> {
        if runs.len() > MAX_RUNS {
            return Err(VhdError::Request(format!(
                "{} runs in one report; {MAX_RUNS} are possible",
                runs.len()
            )));
        }
        if self.closed {
            return Err(VhdError::Request("a placement came after the tables were asked for".to_owned()));
        }
        runs.iter().try_for_each(|run| self.take(run))
    }

    /// A page of tables, at most `max_bytes`; `start` is the `resume` of the page before.
    pub(crate) fn metadata(
        &mut self,
        end: u64,
        start: u64,
        max_bytes: u32,
    ) -> Result<MetadataPage, VhdError> {
        self.closed = true;
        let footer_at = match self.plan.block_size {
            None => self.plan.virtual_size,
            Some(_) => round_up(end.max(self.payload_end), SECTOR),
        };
        let parts = self.parts(footer_at);
        let mut segments = Vec::new();
        let mut room = to_usize(max_bytes.into())?;
        let mut resume = start;
        for (index, part) in (0_u64..).zip(&parts).skip(to_usize(start)?) {
            if part.bytes.len() > room {
                break;
            }
            room -= part.bytes.len();
            segments.push(part.clone());
            resume = index + 1;
        }
        let done = resume == to_u64(parts.len());
        if resume == start && !done {
            return Err(VhdError::Request(format!("a page of tables needs at least {PIECE} bytes")));
        }
        let final_size = done.then_some(footer_at + footer::LENGTH);
        Ok(MetadataPage { segments, resume, done, final_size })
    }

    /// Everything that is not payload, in the order in which it is written.
    fn parts(&self, footer_at: u64) -> Vec<Segment> {
        let footer = self.plan.footer(HEADER_AT).bytes();
        let at_end = Segment { file_offset: footer_at, bytes: footer.clone() };
        let Some(block_size) = self.plan.block_size else { return vec![at_end] };
        let entries = u32::try_from(self.table.len()).expect("at most 2040 GiB of blocks of 512 KiB");
        let header = Header {
            table_offset: TABLE_AT,
            entries,
            block_size,
            parent_id: [0; 16],
            parent_name: Vec::new(),
            locators: Vec::new(),
        };
        let mut table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        // What follows the last entry looks like entries without a block.
        table.resize(table.len().next_multiple_of(512), 0xff);
        let mut parts: Vec<Segment> = (TABLE_AT..)
            .step_by(PIECE)
            .zip(table.chunks(PIECE))
            .map(|(file_offset, bytes)| Segment { file_offset, bytes: bytes.to_vec() })
            .collect();
        parts.push(Segment { file_offset: HEADER_AT, bytes: header.bytes() });
        parts.push(at_end);
        parts.push(Segment { file_offset: 0, bytes: footer });
        parts
    }

    fn data_start(&self) -> u64 {
        match self.plan.block_size {
            None => 0,
            Some(_) => TABLE_AT + round_up(to_u64(self.table.len()) * ENTRY, SECTOR),
        }
    }

    fn take(&mut self, run: &Placed) -> Result<(), VhdError> {
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
            return Err(bad_run("lies upon something else, or not at a sector", run));
        }
        let end = run.file_offset.saturating_add(bitmap + block_size);
        *entry = u32::try_from(run.file_offset / SECTOR)
            .ok()
            .filter(|sector| *sector != NO_BLOCK)
            .ok_or_else(|| bad_run("lies where no entry can point", run))?;
        self.next = run.offset + block_size;
        self.payload_end = end;
        Ok(())
    }
}

/// Bytes of the table in one segment.
const PIECE: usize = 32 << 10;

fn bad_run(what: &str, run: &Placed) -> VhdError {
    let Placed { offset, length, file_offset, stored_length } = run;
    VhdError::Request(format!(
        "the placement of {length} bytes at {offset:#x} ({stored_length} encoded) at {file_offset:#x} of the file {what}"
    ))
}
