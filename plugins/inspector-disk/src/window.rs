//! A part of the disk, in one piece or, for a logical volume, in several.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    rc::Rc,
};

use imprint_plugin_sdk::{
    error::{Error, Result},
    inspector::Bounded,
};

use crate::bytes::{corrupt, to_u64, to_usize};

/// A piece of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The offset on the disk.
    pub(crate) start: u64,
    /// The length in bytes.
    pub(crate) length: u64,
}

/// A part of the disk. Clones read the same bytes and share the budget.
#[derive(Clone)]
pub(crate) struct Window {
    disk: Rc<Bounded>,
    segments: Rc<[Segment]>,
    length: u64,
}

impl Window {
    /// The whole disk.
    pub(crate) fn whole(disk: Rc<Bounded>) -> Self {
        let length = disk.size();
        Self { disk, segments: [Segment { start: 0, length }].into(), length }
    }

    /// Pieces of the disk, one behind the other. What is behind the end of the disk is left out.
    pub(crate) fn of(&self, segments: &[Segment]) -> Self {
        let size = self.disk.size();
        let inside = segments.iter().map(|segment| {
            let start = segment.start.min(size);
            Segment { start, length: segment.length.min(size - start) }
        });
        let segments: Rc<[Segment]> = inside.collect();
        let length = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.length));
        Self { disk: self.disk.clone(), segments, length }
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The offset of the first byte on the disk.
    pub(crate) fn offset(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.start)
    }

    /// Returns the offset on the disk of the byte before `end`, plus one.
    pub(crate) fn end_on_disk(&self, end: u64) -> u64 {
        let mut passed = 0_u64;
        let mut reached = self.offset();
        for segment in self.segments.iter() {
            let inside = end.saturating_sub(passed).min(segment.length);
            if inside > 0 {
                reached = reached.max(segment.start.saturating_add(inside));
            }
            passed = passed.saturating_add(segment.length);
        }
        reached
    }

    /// Sets what may be read from now on.
    pub(crate) fn allow(&self, bytes: u64, calls: u64) {
        self.disk.allow(bytes, calls);
    }

    /// Fills `buf` from `offset`.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(to_u64(buf.len()));
        if end.is_none_or(|end| end > self.length) {
            let text = format!("{} bytes at {offset} are behind its end at {}", buf.len(), self.length);
            return Err(corrupt(text));
        }
        let mut rest = buf;
        let mut skip = offset;
        for segment in self.segments.iter() {
            if rest.is_empty() {
                break;
            }
            if skip >= segment.length {
                skip -= segment.length;
                continue;
            }
            let count = rest.len().min(to_usize(segment.length - skip));
            let (now, later) = rest.split_at_mut(count);
            self.disk.read(segment.start.saturating_add(skip), now)?;
            rest = later;
            skip = 0;
        }
        Ok(())
    }

    /// Returns `length` bytes at `offset`.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(to_u64(length));
        if end.is_none_or(|end| end > self.length) {
            let text = format!("{length} bytes at {offset} are behind its end at {}", self.length);
            return Err(corrupt(text));
        }
        let mut bytes = vec![0; length];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns at most `length` bytes from the start.
    pub(crate) fn head(&self, length: usize) -> Result<Vec<u8>> {
        self.bytes(0, length.min(to_usize(self.length)))
    }

    /// Returns a reader for crates that read streams.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { window: self.clone(), at: 0 }
    }
}

/// A window as a stream. Writing fails.
pub(crate) struct Cursor {
    window: Window,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.window.length.saturating_sub(self.at);
        let count = buf.len().min(to_usize(left));
        let Some(now) = buf.get_mut(..count) else { return Ok(0) };
        self.window.read(self.at, now).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(to_u64(count));
        Ok(count)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.window.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Write for Cursor {
    fn write(&mut self, _buf: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error behind the error of a stream: that of the disk where it is the cause.
pub(crate) fn of_stream(error: &io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    cause.cloned().unwrap_or_else(|| corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use imprint_plugin_sdk::mock::MemBlob;

    use super::*;

    fn disk() -> Window {
        let bytes: Vec<u8> = (0..=255).collect();
        let disk = Rc::new(Bounded::new(Box::new(MemBlob::new(bytes))));
        disk.allow(1 << 20, 1000);
        Window::whole(disk)
    }

    #[test]
    fn a_window_of_pieces_reads_across_them() {
        let pieces = [Segment { start: 200, length: 10 }, Segment { start: 50, length: 20 }];
        let window = disk().of(&pieces);
        assert_eq!((window.length(), window.offset()), (30, 200));
        assert_eq!(window.bytes(8, 4).unwrap(), [208, 209, 50, 51]);
        assert_eq!(window.bytes(29, 2).unwrap_err().code, "inspect.corrupt");
        assert_eq!(window.bytes(u64::MAX, 2).unwrap_err().code, "inspect.corrupt");
        assert_eq!((window.end_on_disk(5), window.end_on_disk(30)), (205, 210));
    }

    #[test]
    fn a_window_ends_with_the_disk() {
        let window = disk().of(&[Segment { start: 250, length: u64::MAX }]);
        assert_eq!(window.length(), 6);
        assert_eq!(window.head(100).unwrap(), [250, 251, 252, 253, 254, 255]);
        let mut cursor = window.cursor();
        cursor.seek(SeekFrom::End(-2)).unwrap();
        let mut all = Vec::new();
        cursor.read_to_end(&mut all).unwrap();
        assert_eq!(all, [254, 255]);
        assert!(cursor.seek(SeekFrom::Current(-7)).is_err());
        assert!(cursor.write(&[1]).is_err());
    }
}
