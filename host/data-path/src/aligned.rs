//! Memory that a disk's controller can read and write itself.

use std::ops::{Deref, DerefMut};

/// Alignment of [`AlignedBuffer`]: the page, which no device asks more than.
pub(crate) const PAGE: usize = 4096;

/// Bytes that begin at a multiple of 4 KiB in memory. Their number is fixed.
pub(crate) struct AlignedBuffer {
    /// One page longer than what is used, and never reallocated.
    memory: Box<[u8]>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// All zeroes.
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + PAGE].into_boxed_slice();
        let start = memory.as_ptr().align_offset(PAGE);
        debug_assert!(start < PAGE);
        Self { memory, start, length }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Whether bytes lie where a device can reach them by itself.
pub(crate) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(PAGE) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked() {
        for length in [0, 1, PAGE, PAGE + 1, 1 << 20] {
            let mut buffer = AlignedBuffer::new(length);
            assert!(is_aligned(&buffer) && buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            buffer.fill(1);
            let moved = buffer;
            assert!(is_aligned(&moved) && moved.iter().all(|byte| *byte == 1));
        }
        assert!(!is_aligned(&AlignedBuffer::new(100)[1..]));
    }
}
