//! Bytes in memory, with the limits of the real host and with faults.

use std::cell::{Cell, RefCell};

use crate::{
    error::{Error, Result},
    host::Blob,
    types::ByteRange,
};

const MAX_READ: u64 = 1 << 20;
const MAX_RANGES: usize = 1024;

/// A blob over a vector.
#[derive(Clone, Debug, Default)]
pub struct MemBlob {
    bytes: Vec<u8>,
    size: Option<u64>,
    short_from: Option<u64>,
    fail_at: RefCell<Vec<u64>>,
    reads: Cell<u64>,
}

impl MemBlob {
    /// A blob with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// Pretends to be `size` bytes long; what lies behind the real bytes reads as zeroes.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Ends early: reads are short from `offset` on, although the size says more (a file that was
    /// truncated after it was opened).
    #[must_use]
    pub fn short_from(mut self, offset: u64) -> Self {
        self.short_from = Some(offset);
        self
    }

    /// Every read that touches `offset` fails.
    #[must_use]
    pub fn failing_at(self, offset: u64) -> Self {
        self.fail_at.borrow_mut().push(offset);
        self
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        let end = offset.saturating_add(length);
        if self.fail_at.borrow().iter().any(|bad| (offset..end).contains(bad)) {
            return Err(Error::transient("blob.io", format!("reading {length} bytes at {offset} failed")));
        }
        let limit = self.short_from.unwrap_or(u64::MAX).min(self.size());
        let length = usize::try_from(end.min(limit).saturating_sub(offset)).expect("at most 1 MiB");
        let mut out = vec![0; length];
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let stored = &self.bytes[start..self.bytes.len().min(start.saturating_add(length))];
        out[..stored.len()].copy_from_slice(stored);
        Ok(out)
    }
}

impl Blob for MemBlob {
    fn size(&self) -> u64 {
        self.size.unwrap_or(u64::try_from(self.bytes.len()).expect("a vector fits 64 bits"))
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        if u64::from(length) > MAX_READ {
            return Err(Error::limit("blob.read", format!("a read of {length} bytes is over 1 MiB")));
        }
        self.read(offset, u64::from(length))
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        if total > MAX_READ || ranges.len() > MAX_RANGES {
            return Err(Error::limit("blob.read", "scattered reads are over 1 MiB or 1024 ranges"));
        }
        ranges.iter().map(|range| self.read(range.offset, range.length)).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

impl<T: Blob + ?Sized> Blob for std::rc::Rc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        (**self).read_at(offset, length)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        (**self).read_many(ranges)
    }

    fn read_each(&self, offsets: &[u64], length: u32) -> Result<Vec<u8>> {
        (**self).read_each(offsets, length)
    }

    fn prefetch(&self, ranges: &[ByteRange]) {
        (**self).prefetch(ranges);
    }
}
