//! Zero detection on the block that is hot in the cache.

use crate::util::num::to_usize;

/// Granularity of zero detection, and of the holes that a sparse file is written with.
pub(crate) const BLOCK: usize = 4096;

/// Whether all bytes are zero. Bytes that are not are found by the first probes in nearly all
/// cases.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    if (first | last | bytes[bytes.len() / 2]) != 0 {
        return false;
    }
    let mut chunks = bytes.chunks_exact(128);
    chunks.by_ref().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && chunks.remainder().iter().all(|byte| *byte == 0)
}

/// Which 4 KiB blocks of a window are zero.
#[derive(Default)]
pub(crate) struct ZeroMap {
    zero: Vec<bool>,
}

impl ZeroMap {
    /// Forgets everything; the window has `length` bytes, a multiple of 4 KiB.
    pub(crate) fn reset(&mut self, length: usize) {
        self.zero.clear();
        self.zero.resize(length / BLOCK, false);
    }

    /// Notes that a byte range of the window is known to be zero: the blocks that lie in it need no
    /// look.
    pub(crate) fn known(&mut self, start: usize, end: usize) {
        let (first, last) = (start.div_ceil(BLOCK), end / BLOCK);
        if first < last {
            self.zero[first..last].fill(true);
        }
    }

    /// Looks at the blocks that are not known yet.
    pub(crate) fn scan(&mut self, window: &[u8]) {
        for (zero, block) in self.zero.iter_mut().zip(window.chunks(BLOCK)) {
            *zero = *zero || is_zero(block);
        }
    }

    /// Whether a byte range, of whole blocks, is zero.
    pub(crate) fn all(&self, start: u64, end: u64) -> bool {
        self.zero[to_usize(start) / BLOCK..to_usize(end).div_ceil(BLOCK)].iter().all(|zero| *zero)
    }

    /// The runs of blocks that are not zero within a range of whole blocks, as byte ranges of the
    /// window.
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
        fn agrees_with_the_plain_definition(mut bytes in prop::collection::vec(Just(0u8), 0..1000), at in any::<prop::sample::Index>(), value: u8) {
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
