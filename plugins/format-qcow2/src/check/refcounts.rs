//! The refcounts that the file holds.

use imprint_plugin_sdk::{host::Blob, types::ByteRange};

use crate::{
    error::Qcow2Error,
    header::Header,
    source::{MAX_RANGES, MAX_READ, read_all},
    wire::to_usize,
};

/// A refcount block is read in pieces of at most this many bytes.
const PIECE: u64 = 64 << 10;

/// Hands the refcounts of `count` clusters from `first` on to `take`, with the place after `first`,
/// until it answers `false`; larger ones than a u16 become its largest. Clusters without a refcount
/// block are left out. `first` is the first cluster of a piece.
pub(super) fn read(
    blob: &dyn Blob,
    header: &Header,
    blocks: &[u64],
    first: u64,
    count: u64,
    mut take: impl FnMut(usize, u16) -> bool,
) -> Result<(), Qcow2Error> {
    let piece = header.cluster().min(PIECE);
    let pieces_of_block = header.cluster() / piece;
    let per_piece = (piece * 8) >> header.refcount_order;
    let batch = to_usize(u64::from(MAX_READ) / piece)?.min(MAX_RANGES);
    let mut wanted: Vec<(u64, ByteRange)> = Vec::with_capacity(batch);
    let last = (first + count).div_ceil(per_piece);
    for number in first / per_piece..last {
        let block =
            usize::try_from(number / pieces_of_block).ok().and_then(|block| blocks.get(block)).copied();
        if let Some(offset) = block.filter(|offset| *offset != 0) {
            let offset = offset + number % pieces_of_block * piece;
            wanted.push((number * per_piece, ByteRange { offset, length: piece }));
        }
        if wanted.len() == batch || number + 1 == last {
            let ranges: Vec<_> = wanted.iter().map(|(_, range)| *range).collect();
            for ((cluster, _), bytes) in wanted.drain(..).zip(read_all(blob, &ranges)?) {
                if !hand_over(to_usize(cluster - first)?, &bytes, header.refcount_order, &mut take) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Hands over the refcounts of a piece of a block; says whether all were taken.
fn hand_over(at: usize, bytes: &[u8], order: u32, take: &mut impl FnMut(usize, u16) -> bool) -> bool {
    if order < 3 {
        let bits = 1_usize << order;
        let mask = (1_u16 << bits) - 1;
        let mut parts = bytes
            .iter()
            .flat_map(|byte| (0..8 / bits).map(move |part| (u16::from(*byte) >> (part * bits)) & mask));
        return parts.by_ref().zip(at..).all(|(part, index)| take(index, part));
    }
    let mut wide = bytes.chunks_exact(1 << (order - 3));
    wide.by_ref().zip(at..).all(|(bytes, index)| take(index, number(bytes)))
}

/// A big-endian number, at most the largest u16.
fn number(bytes: &[u8]) -> u16 {
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    u16::try_from(value).unwrap_or(u16::MAX)
}
