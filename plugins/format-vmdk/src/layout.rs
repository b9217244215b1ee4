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

mod grains;
mod pieces;
mod request;
mod sparse;
mod stream;

use imprint_plugin_sdk::{
    error::Result,
    format::{self, CreateRequest, FormatError, MetadataPage, Placed, Rules, wire::round_up},
};

use grains::{GRAIN, bad_run};
use request::{Geometry, Subformat};
use sparse::SparseLayout;
use stream::StreamLayout;

/// The most runs of one report.
const MAX_RUNS: usize = 4096;

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
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self, FormatError> {
        let geometry = Geometry::new(request)?;
        let kind = match geometry.subformat {
            Subformat::StreamOptimized => Kind::Stream(StreamLayout::new(&geometry)),
            Subformat::MonolithicSparse => Kind::Sparse(SparseLayout::new(&geometry)),
        };
        Ok(Self { geometry, next: 0, finishing: false, kind })
    }

    /// The end of a run of whole grains that follows what was reported before.
    fn checked_end(&self, run: &Placed) -> Result<u64, FormatError> {
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

impl format::Layout for Layout {
    /// Whole grains: framed zlib streams at sectors, or plain ones at 64 KiB.
    fn rules(&mut self) -> Rules {
        match &self.kind {
            Kind::Stream(_) => StreamLayout::rules(),
            Kind::Sparse(layout) => layout.rules(),
        }
    }

    /// Takes the next placements, in ascending virtual order.
    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        if runs.len() > MAX_RUNS {
            let text = format!("{} runs in one report; {MAX_RUNS} are possible", runs.len());
            return Err(FormatError::Request(text).into());
        }
        if self.finishing {
            let text = "a placement came after the tables were asked for".to_owned();
            return Err(FormatError::Request(text).into());
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
    fn interleave(&mut self, at: u64) -> Result<Vec<u8>> {
        match &mut self.kind {
            Kind::Stream(layout) => Ok(layout.interleave(&self.geometry, at)?),
            Kind::Sparse(_) => Ok(Vec::new()),
        }
    }

    /// A page of tables, at most `max_bytes`; `start` is the `resume` of the page before.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        if max_bytes < 512 {
            let text = format!("a page of {max_bytes} bytes is too small; ask for 512");
            return Err(FormatError::Request(text).into());
        }
        self.finishing = true;
        match &mut self.kind {
            Kind::Stream(layout) => Ok(layout.metadata(&self.geometry, end, start, max_bytes)?),
            Kind::Sparse(layout) => Ok(layout.metadata(&self.geometry, end, start, max_bytes)?),
        }
    }
}
