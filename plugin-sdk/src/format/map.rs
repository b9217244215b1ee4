//! Pages of extents, built in order.

use std::ops::ControlFlow;

use super::shapes::{Extent, ExtentKind, Page};
use crate::error::{Error, Result};

/// Builds one page of a map: takes pieces in ascending order, merges neighbours, and says when the
/// page is full.
///
/// Every `push` method takes the length of the next piece, which starts where the last one ended
/// ([`Self::cursor`]); a piece that goes beyond the asked end is cut. [`ControlFlow::Break`] means
/// that nothing more is wanted: the page is full or the end is reached, and the piece given to that
/// very call may not have been taken.
#[derive(Debug)]
pub struct MapBuilder {
    end: u64,
    max: usize,
    cursor: u64,
    extents: Vec<Extent>,
}

impl MapBuilder {
    /// Begins a page for `[start, end)` of at most `max` extents.
    ///
    /// # Errors
    ///
    /// `map.range` when the range ends before it starts.
    pub fn new(start: u64, end: u64, max: u32) -> Result<Self> {
        if start > end {
            return Err(Error::invalid_input(
                "map.range",
                format!("map range starts at {start}, behind its end {end}"),
            ));
        }
        let max = usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        Ok(Self { end, max, cursor: start, extents: Vec::new() })
    }

    /// Returns the first virtual byte that is not described yet.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns the first virtual byte that was not asked for.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds `length` bytes stored as they are at `source_offset` of source `source`.
    ///
    /// # Errors
    ///
    /// `map.overflow` when the extent ends beyond the largest offset.
    pub fn data(&mut self, length: u64, source: u16, source_offset: u64) -> Result<ControlFlow<()>> {
        let kind = ExtentKind::Data;
        self.push(Extent { offset: 0, length, kind, source, codec: 0, source_offset, source_length: 0 })
    }

    /// Adds `length` bytes that read as zeroes.
    ///
    /// # Errors
    ///
    /// As [`Self::data`].
    pub fn zero(&mut self, length: u64) -> Result<ControlFlow<()>> {
        self.push(Self::empty(length, ExtentKind::Zero))
    }

    /// Adds `length` bytes that this layer does not have.
    ///
    /// # Errors
    ///
    /// As [`Self::data`].
    pub fn hole(&mut self, length: u64) -> Result<ControlFlow<()>> {
        self.push(Self::empty(length, ExtentKind::Hole))
    }

    /// Adds one encoded unit of `length` bytes. It is never cut or merged: it must start at the
    /// cursor and may reach beyond the end of the page.
    ///
    /// # Errors
    ///
    /// As [`Self::data`].
    pub fn encoded(
        &mut self,
        length: u64,
        codec: u16,
        source_offset: u64,
        source_length: u32,
    ) -> Result<ControlFlow<()>> {
        let kind = ExtentKind::Encoded;
        self.push(Extent { offset: 0, length, kind, source: 0, codec, source_offset, source_length })
    }

    /// Returns whether the end is reached.
    pub fn is_full(&self) -> bool {
        self.cursor >= self.end
    }

    /// Returns the page.
    pub fn finish(self) -> Page {
        Page { done: self.cursor >= self.end, resume: self.cursor, extents: self.extents }
    }

    fn empty(length: u64, kind: ExtentKind) -> Extent {
        Extent { offset: 0, length, kind, source: 0, codec: 0, source_offset: 0, source_length: 0 }
    }

    fn push(&mut self, mut next: Extent) -> Result<ControlFlow<()>> {
        if next.length == 0 {
            return Ok(self.flow());
        }
        if self.cursor >= self.end {
            return Ok(ControlFlow::Break(()));
        }
        if next.kind != ExtentKind::Encoded {
            next.length = next.length.min(self.end - self.cursor);
        }
        next.offset = self.cursor;
        let after = self
            .cursor
            .checked_add(next.length)
            .ok_or_else(|| Error::corrupt("map.overflow", "an extent ends beyond the largest offset"))?;
        if let Some(last) = self.extents.last_mut().filter(|last| joins(last, &next)) {
            last.length += next.length;
        } else if self.extents.len() >= self.max {
            return Ok(ControlFlow::Break(()));
        } else {
            self.extents.push(next);
        }
        self.cursor = after;
        Ok(self.flow())
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether `next`, which follows `last` on the virtual disk, continues the same extent.
fn joins(last: &Extent, next: &Extent) -> bool {
    match (last.kind, next.kind) {
        (ExtentKind::Zero, ExtentKind::Zero) | (ExtentKind::Hole, ExtentKind::Hole) => true,
        (ExtentKind::Data, ExtentKind::Data) => {
            last.source == next.source
                && last.source_offset.checked_add(last.length) == Some(next.source_offset)
        }
        (ExtentKind::Data | ExtentKind::Zero | ExtentKind::Hole | ExtentKind::Encoded, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_and_the_page_ends_at_the_end() {
        let mut map = MapBuilder::new(0, 100, 10).unwrap();
        assert!(map.data(10, 0, 1000).unwrap().is_continue());
        assert!(map.data(10, 0, 1010).unwrap().is_continue());
        assert!(map.data(10, 0, 2000).unwrap().is_continue());
        assert!(map.zero(5).unwrap().is_continue());
        assert!(map.zero(5).unwrap().is_continue());
        assert!(map.hole(1000).unwrap().is_break());
        let page = map.finish();
        let shape: Vec<_> = page.extents.iter().map(|e| (e.offset, e.length, e.kind)).collect();
        assert_eq!(
            shape,
            [
                (0, 20, ExtentKind::Data),
                (20, 10, ExtentKind::Data),
                (30, 10, ExtentKind::Zero),
                (40, 60, ExtentKind::Hole)
            ]
        );
        assert!(page.done);
        assert_eq!(page.resume, 100);
    }

    #[test]
    fn a_full_page_leaves_the_next_piece_for_the_next_page() {
        let mut map = MapBuilder::new(0, 100, 2).unwrap();
        assert!(map.data(10, 0, 0).unwrap().is_continue());
        assert!(map.zero(10).unwrap().is_continue());
        assert!(map.zero(10).unwrap().is_continue(), "merging needs no room");
        assert!(map.hole(10).unwrap().is_break());
        let page = map.finish();
        assert_eq!((page.resume, page.done, page.extents.len()), (30, false, 2));
    }

    #[test]
    fn encoded_units_stay_whole() {
        let mut map = MapBuilder::new(0, 100, 10).unwrap();
        assert!(map.encoded(64, 0, 500, 20).unwrap().is_continue());
        assert!(map.encoded(64, 0, 520, 20).unwrap().is_break());
        let page = map.finish();
        assert_eq!(page.extents.len(), 2);
        assert_eq!((page.resume, page.done), (128, true));
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        assert_eq!(MapBuilder::new(2, 1, 1).unwrap_err().code, "map.range");
    }
}
