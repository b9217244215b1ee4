//! The refcounts that the file holds.

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{MAX_RANGES, MAX_READ, read_all},
        wire::{to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::header::Header;

/// A refcount block is read in pieces of at most this many bytes.
const PIECE: u64 = 64 << 10;

/// Reads the refcounts of an image.
pub(super) struct Refcounts<'a> {
    pub(super) blob: &'a dyn Blob,
    pub(super) header: &'a Header,
    /// Where the refcount blocks are; 0 for one that does not exist.
    pub(super) blocks: &'a [u64],
}

impl Refcounts<'_> {
    /// Hands the refcounts of `count` clusters from `first` on to `take`, with the place after
    /// `first`; larger ones than a u16 become its largest. Clusters without a refcount block are
    /// left out. `first` is the first cluster of a piece. Returns the entries that were looked at.
    pub(super) fn read(
        &self,
        first: u64,
        count: u64,
        mut take: impl FnMut(usize, u16),
    ) -> Result<u64, FormatError> {
        let piece = self.header.cluster().min(PIECE);
        let pieces_of_block = self.header.cluster() / piece;
        let per_piece = (piece * 8) >> self.header.refcount_order;
        let batch = to_usize(u64::from(MAX_READ) / piece)?.min(MAX_RANGES);
        let mut wanted: Vec<(u64, ByteRange)> = Vec::with_capacity(batch);
        let last = (first + count).div_ceil(per_piece);
        let mut seen = 0;
        for number in first / per_piece..last {
            seen += 1;
            let block = usize::try_from(number / pieces_of_block).ok();
            let block = block.and_then(|block| self.blocks.get(block)).copied();
            if let Some(offset) = block.filter(|offset| *offset != 0) {
                let offset = offset + number % pieces_of_block * piece;
                wanted.push((number * per_piece, ByteRange { offset, length: piece }));
            }
            if wanted.len() == batch || number + 1 == last {
                let ranges: Vec<_> = wanted.iter().map(|(_, range)| *range).collect();
                for ((cluster, _), bytes) in wanted.drain(..).zip(read_all(self.blob, &ranges)?) {
                    hand_over(to_usize(cluster - first)?, &bytes, self.header.refcount_order, &mut take);
                    seen += per_piece;
                }
            }
        }
        Ok(seen)
    }
}

/// Hands over the refcounts of a piece of a block, the first of which is that of the cluster `at`.
fn hand_over(at: usize, bytes: &[u8], order: u32, take: &mut impl FnMut(usize, u16)) {
    match order {
        0..=2 => {
            let bits = 1_usize << order;
            let mask = (1_u16 << bits) - 1;
            let parts = bytes
                .iter()
                .flat_map(|byte| (0..8 / bits).map(move |part| (u16::from(*byte) >> (part * bits)) & mask));
            parts.zip(at..).for_each(|(part, index)| take(index, part));
        }
        // Nearly all images have these.
        4 => {
            let (words, _) = bytes.as_chunks();
            words.iter().zip(at..).for_each(|(word, index)| take(index, u16::from_be_bytes(*word)));
        }
        _ => {
            let wide = bytes.chunks_exact(1 << (order - 3));
            wide.zip(at..).for_each(|(bytes, index)| take(index, number(bytes)));
        }
    }
}

/// Returns a big-endian number, at most the largest u16.
fn number(bytes: &[u8]) -> u16 {
    debug_assert!(to_u64(bytes.len()) <= 8, "a refcount has at most 64 bits");
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    u16::try_from(value).unwrap_or(u16::MAX)
}
