//! Zero detection, on blocks that are hot in the processor's cache.

use crate::util::num::to_usize;

/// The granularity of zero detection, and of the holes that a sparse file is written with, in
/// bytes.
pub(crate) const BLOCK: usize = 4096;

/// Returns whether all bytes are zero. The first probes find nearly all data that is not.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    if (first | last | bytes[bytes.len() / 2]) != 0 {
        return false;
    }
    let mut chunks = bytes.chunks_exact(128);
    chunks.by_ref().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && chunks.remainder().iter().all(|byte| *byte == 0)
}

/// The 4 KiB blocks of a window that are zero.
#[derive(Default)]
pub(crate) struct ZeroMap {
    zero: Vec<bool>,
}

impl ZeroMap {
    /// Forgets everything; the next window has `length` bytes, a multiple of 4 KiB.
    pub(crate) fn reset(&mut self, length: usize) {
        self.zero.clear();
        self.zero.resize(length / BLOCK, false);
    }

    /// Records that a byte range of the window is known to be zero: the blocks inside of it need
    /// not be scanned.
    pub(crate) fn known(&mut self, start: usize, end: usize) {
        let (first, last) = (start.div_ceil(BLOCK), end / BLOCK);
        if first < last {
            self.zero[first..last].fill(true);
        }
    }

    /// Scans the blocks that are not known yet.
    pub(crate) fn scan(&mut self, window: &[u8]) {
        for (zero, block) in self.zero.iter_mut().zip(window.chunks(BLOCK)) {
            *zero = *zero || is_zero(block);
        }
    }

    /// Returns whether a byte range of whole blocks is zero.
    pub(crate) fn all(&self, start: u64, end: u64) -> bool {
        self.zero[to_usize(start) / BLOCK..to_usize(end).div_ceil(BLOCK)].iter().all(|zero| *zero)
    }

    /// Returns the runs of blocks that are not zero within a range of whole blocks, as byte ranges
    /// of the window.
    pub(crate) fn data_runs(&self, start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let blocks = &self.zero[..end / BLOCK];
        let mut at = start / BLOCK;
        std::iter::from_fn(move || {
            let start = at + blocks[at..].iter().position(|zero| !zero)?;
            let end = blocks[start..].iter().position(|zero| *zero).map_or(blocks.len(), |n| start + n);
            at = end;
            Some((start * BLOCK, end * BLOCK))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn zero_detection_agrees_with_the_plain_definition(mut bytes in prop::collection::vec(Just(0u8), 0..1000), at in any::<prop::sample::Index>(), value: u8) {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            prop_assert_eq!(is_zero(&bytes), bytes.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn runs_of_data_are_found() {
        let mut window = vec![0u8; 8 * BLOCK];
        window[BLOCK] = 1;
        window[3 * BLOCK - 1] = 1;
        window[7 * BLOCK + 5] = 1;
        let mut map = ZeroMap::default();
        map.reset(window.len());
        map.scan(&window);
        assert_eq!(
            map.data_runs(0, 8 * BLOCK).collect::<Vec<_>>(),
            [(BLOCK, 3 * BLOCK), (7 * BLOCK, 8 * BLOCK)]
        );
        assert_eq!(map.data_runs(2 * BLOCK, 7 * BLOCK).collect::<Vec<_>>(), [(2 * BLOCK, 3 * BLOCK)]);
        assert!(map.all(0, 4096) && !map.all(0, 8192));
    }
}
