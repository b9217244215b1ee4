//! The layout of a new file: `streamOptimized` or `monolithicSparse`, the same bytes for the same
//! placements.
//!
//! ```text
//! header | descriptor | framed grains, grain tables between them | last tables | directory | footer | end   stream
//! header | descriptor | redundant directory, its tables | directory, its tables | grains                    sparse
//! ```
//!
//! Grains have 64 KiB. There are no times and no random ids in it: the CID follows from what was
//! asked for.

mod pieces;
mod request;
mod sparse;
mod stream;

use imprint_plugin_sdk::format::{CreateRequest, MetadataPage, Placed, Rules};

use crate::{error::VmdkError, wire::round_up};
use request::{Geometry, Subformat};
use sparse::SparseLayout;
use stream::StreamLayout;

/// The most runs of one report.
const MAX_RUNS: usize = 4096;
/// Bytes of a grain.
const GRAIN: u64 = 64 << 10;
/// Entries of a grain table.
const ENTRIES: usize = 512;
/// Bytes of the disk that a grain table describes.
const SPAN: u64 = 32 << 20;

/// The layout of a file being written.
pub struct Layout {
    geometry: Geometry,
    /// No placement may start before this virtual byte.
    next: u64,
    finishing: bool,
    kind: Kind,
}

enum Kind {
    Stream(StreamLayout),
    Sparse(SparseLayout),
}

impl Layout {
    /// Checks the request and decides where payload begins.
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, VmdkError> {
        let geometry = Geometry::new(request)?;
        let kind = match geometry.subformat {
            Subformat::StreamOptimized => Kind::Stream(StreamLayout::new(&geometry)),
            Subformat::MonolithicSparse => Kind::Sparse(SparseLayout::new(&geometry)),
        };
        Ok(Self { geometry, next: 0, finishing: false, kind })
    }

    /// Whole grains: framed zlib streams at sectors, or plain ones at 64 KiB.
    pub(crate) fn rules(&self) -> Rules {
        match &self.kind {
            Kind::Stream(_) => StreamLayout::rules(),
            Kind::Sparse(layout) => layout.rules(),
        }
    }

    /// Takes the next placements, in ascending virtual order.
    pub(crate) fn placed(&mut self, runs: &[Placed]) -> Result<(), VmdkError> {
        if runs.len() > MAX_RUNS {
            return Err(VmdkError::Request(format!(
                "{} runs in one report; {MAX_RUNS} are possible",
                runs.len()
            )));
        }
        if self.finishing {
            return Err(VmdkError::Request("a placement came after the tables were asked for".to_owned()));
        }
        for run in runs {
            self.next = self.checked_end(run)?;
            match &mut self.kind {
                Kind::Stream(layout) => layout.take(run)?,
                Kind::Sparse(layout) => layout.take(run)?,
            }
        }
        Ok(())
    }

    /// Bytes to emit at `at`: the head of a stream at 0, and grain tables that are complete
    /// anywhere else.
    pub(crate) fn interleave(&mut self, at: u64) -> Result<Vec<u8>, VmdkError> {
        match &mut self.kind {
            Kind::Stream(layout) => layout.interleave(&self.geometry, at),
            Kind::Sparse(_) => Ok(Vec::new()),
        }
    }

    /// A page of tables, at most `max_bytes`; `start` is the `resume` of the page before.
    pub(crate) fn metadata(
        &mut self,
        end: u64,
        start: u64,
        max_bytes: u32,
    ) -> Result<MetadataPage, VmdkError> {
        if max_bytes < 512 {
            return Err(VmdkError::Request(format!("a page of {max_bytes} bytes is too small; ask for 512")));
        }
        self.finishing = true;
        match &mut self.kind {
            Kind::Stream(layout) => layout.metadata(&self.geometry, end, start, max_bytes),
            Kind::Sparse(layout) => layout.metadata(&self.geometry, end, start, max_bytes),
        }
    }

    /// The end of a run of whole grains that follows what was reported before.
    fn checked_end(&self, run: &Placed) -> Result<u64, VmdkError> {
        let disk_end = round_up(self.geometry.virtual_size, GRAIN);
        let end = run
            .offset
            .checked_add(run.length)
            .filter(|end| *end <= disk_end)
            .ok_or_else(|| bad_run("ends behind the disk", run))?;
        if run.offset < self.next {
            return Err(bad_run("is not in ascending order", run));
        }
        let whole = end.is_multiple_of(GRAIN) || end == self.geometry.virtual_size;
        if run.length == 0 || !run.offset.is_multiple_of(GRAIN) || !whole {
            return Err(bad_run("is not made of whole grains", run));
        }
        Ok(round_up(end, GRAIN))
    }
}

fn bad_run(what: &str, run: &Placed) -> VmdkError {
    let Placed { offset, length, file_offset, stored_length } = run;
    VmdkError::Request(format!(
        "the placement of {length} bytes at {offset:#x} ({stored_length} encoded) at {file_offset:#x} of the file {what}"
    ))
}

/// A byte offset as the sector number of a table's entry.
fn entry(offset: u64) -> Result<u32, VmdkError> {
    u32::try_from(offset / crate::wire::SECTOR).map_err(|_| {
        VmdkError::VirtualSize(
            "the file would be longer than 2 TiB, which grain tables cannot describe; choose another format"
                .to_owned(),
        )
    })
}
