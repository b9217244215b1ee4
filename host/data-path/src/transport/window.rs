//! A range of a source as a source of its own: the disk inside a wrapper.

use std::{io, sync::Arc};

use imprint_ports::{BlockSource, ByteRange, Segment};

use crate::util::num::to_u64;

/// The bytes of `range` of another source.
pub(crate) struct Window {
    whole: Arc<dyn BlockSource>,
    range: ByteRange,
}

impl Window {
    /// Returns the window. `range` must be inside the source.
    pub(crate) fn new(whole: Arc<dyn BlockSource>, range: ByteRange) -> Self {
        Self { whole, range }
    }
}

impl BlockSource for Window {
    fn size(&self) -> u64 {
        self.range.length
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(to_u64(buf.len())).filter(|end| *end <= self.range.length);
        match end {
            Some(_) => self.whole.read_exact_at(buf, self.range.offset + offset),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        let moved = ByteRange { offset: self.range.offset + range.offset, ..range };
        let mut segments = self.whole.segments(moved)?;
        segments.iter_mut().for_each(|segment| segment.range.offset -= self.range.offset);
        Ok(segments)
    }

    fn preferred_read(&self) -> u64 {
        self.whole.preferred_read()
    }

    fn unchanged(&self) -> io::Result<bool> {
        self.whole.unchanged()
    }
}
