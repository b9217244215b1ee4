//! Bytes on their way to a file, gathered to blocks that can bypass the page cache.
//!
//! Encoded units end anywhere. Written one by one, each run of them has a page at either end that
//! it shares with its neighbours, and that would have to go through the page cache: several
//! thousand single pages of an operation, for which the next reader of the file waits. Here
//! neighbours are combined in memory first, whichever thread brings them.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use crate::util::{
    aligned::{AlignedBuffer, HUGE},
    lock::lock,
    num::{to_u64, to_usize},
};

/// The size of a block in bytes.
const BLOCK: usize = HUGE / BLOCKS_PER_HUGE_PAGE;
/// The number of blocks that share a huge page.
const BLOCKS_PER_HUGE_PAGE: usize = 2;
/// The largest number of incomplete blocks. Beyond it the lowest is written as it is: a writer that
/// jumps ahead leaves blocks behind.
const MAX_OPEN: usize = 8;
/// The largest number of pieces of a block; a block with more is written as it is.
const MAX_PIECES: usize = 64;
/// The largest number of blocks for which bytes are counted that bypassed them.
const MAX_SKIPPED: usize = 1024;

/// The blocks of a file that are not whole yet. At most 10 MiB, and 1 MiB for each thread that
/// writes.
#[derive(Debug, Default)]
pub(super) struct Gather(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The incomplete blocks by their numbers.
    open: BTreeMap<u64, Block>,
    /// The number of bytes of other blocks that bypassed them.
    skipped: BTreeMap<u64, usize>,
    spare: Vec<AlignedBuffer>,
}

/// A block of the file.
#[derive(Debug)]
pub(super) struct Block {
    number: u64,
    bytes: AlignedBuffer,
    /// The parts that were added, in order, with gaps in between.
    pieces: Vec<Range<usize>>,
    /// The number of bytes that were added or bypassed the block. Every byte comes once.
    known: usize,
}

/// Returns the block of an offset, the position in it, and how much of a length belongs to it.
fn place(offset: u64, length: usize) -> (u64, usize, usize) {
    let start = to_usize(offset % to_u64(BLOCK));
    (offset / to_u64(BLOCK), start, length.min(BLOCK - start))
}

impl Gather {
    /// Adds those of `bytes` that belong to the same block as the first one. Returns their number,
    /// and a block that is to be written now.
    pub(super) fn add(&self, bytes: &[u8], offset: u64) -> (usize, Option<Block>) {
        let (number, start, length) = place(offset, bytes.len());
        let mut state = lock(&self.0);
        let State { open, skipped, spare } = &mut *state;
        let block = open.entry(number).or_insert_with(|| Block {
            number,
            bytes: spare.pop().unwrap_or_else(|| {
                spare.extend(AlignedBuffer::several(BLOCKS_PER_HUGE_PAGE, BLOCK));
                spare.pop().expect("they were just made")
            }),
            pieces: Vec::new(),
            known: skipped.remove(&number).unwrap_or(0),
        });
        block.insert(&bytes[..length], start);
        let ready = if block.is_done() {
            open.remove(&number)
        } else if open.len() > MAX_OPEN {
            open.pop_first().map(|(_, block)| block)
        } else {
            None
        };
        (length, ready)
    }

    /// Records bytes that are written without being gathered, so that their block need not wait for
    /// them. Returns their number, all of the same block, and a block that is to be written now.
    pub(super) fn skip(&self, length: usize, offset: u64) -> (usize, Option<Block>) {
        let (number, _, length) = place(offset, length);
        let mut state = lock(&self.0);
        let State { open, skipped, .. } = &mut *state;
        if let Some(block) = open.get_mut(&number) {
            block.known += length;
            return (length, if block.is_done() { open.remove(&number) } else { None });
        }
        let known = skipped.entry(number).or_insert(0);
        *known += length;
        if *known >= BLOCK {
            skipped.remove(&number);
        } else if skipped.len() > MAX_SKIPPED {
            skipped.pop_first();
        }
        (length, None)
    }

    /// Returns the blocks that were not written.
    pub(super) fn take_rest(&self) -> Vec<Block> {
        let mut state = lock(&self.0);
        std::mem::take(&mut state.open).into_values().collect()
    }

    /// Reuses the memory of a block that was written.
    pub(super) fn recycle(&self, block: Block) {
        let mut state = lock(&self.0);
        if state.spare.len() + state.open.len() < MAX_OPEN {
            state.spare.push(block.bytes);
        }
    }
}

impl Block {
    fn insert(&mut self, bytes: &[u8], start: usize) {
        self.known += bytes.len();
        let mut piece = start..start + bytes.len();
        self.bytes[piece.clone()].copy_from_slice(bytes);
        // Pieces that touch the new one become part of it.
        let first = self.pieces.partition_point(|other| other.end < piece.start);
        let last = self.pieces.partition_point(|other| other.start <= piece.end);
        if let Some(touched) = self.pieces.get(first..last).filter(|touched| !touched.is_empty()) {
            piece.start = piece.start.min(touched[0].start);
            piece.end = piece.end.max(touched[touched.len() - 1].end);
        }
        self.pieces.splice(first..last, [piece]);
    }

    fn is_done(&self) -> bool {
        self.known >= BLOCK || self.pieces.len() > MAX_PIECES
    }

    /// Returns the pieces of the block and their offsets in the file.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let at = self.number * to_u64(BLOCK);
        self.pieces.iter().map(move |piece| (&self.bytes[piece.clone()], at + to_u64(piece.start)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces_of(block: &Block) -> Vec<(u64, usize)> {
        block.pieces().map(|(bytes, at)| (at, bytes.len())).collect()
    }

    #[test]
    fn a_block_is_ready_with_its_last_byte() {
        let gather = Gather::default();
        let at = 3 * to_u64(BLOCK);
        assert!(matches!(gather.add(&[1; 100], at + 50), (100, None)));
        assert!(matches!(gather.add(&vec![2; BLOCK], at + 150), (taken, None) if taken == BLOCK - 150));
        let (taken, ready) = gather.add(&[3; 50], at);
        let ready = ready.unwrap();
        assert_eq!((taken, pieces_of(&ready)), (50, vec![(at, BLOCK)]));
        let (bytes, _) = ready.pieces().next().unwrap();
        assert!(bytes[..50] == [3; 50] && bytes[50..150] == [1; 100] && bytes[150..].iter().all(|b| *b == 2));
        assert!(gather.take_rest().is_empty());
    }

    #[test]
    fn blocks_do_not_wait_for_bytes_that_bypassed_them() {
        let gather = Gather::default();
        let (rest, half) = (to_u64(BLOCK / 2), BLOCK / 2);
        assert!(matches!(gather.skip(BLOCK, rest), (taken, None) if taken == half));
        let (_, ready) = gather.add(&vec![1; half], 0);
        assert_eq!(pieces_of(&ready.unwrap()), [(0, half)]);
        assert!(matches!(gather.add(&vec![1; half], 0), (_, None)));
        let (taken, ready) = gather.skip(BLOCK, rest);
        assert_eq!((taken, pieces_of(&ready.unwrap())), (half, vec![(0, half)]));
        // The number of blocks for which bypassing bytes are counted is bounded.
        (0..3 * to_u64(MAX_SKIPPED))
            .for_each(|number| assert!(gather.skip(1, number * to_u64(BLOCK)).1.is_none()));
        assert_eq!(gather.0.lock().unwrap().skipped.len(), MAX_SKIPPED);
        assert!(gather.take_rest().is_empty());
    }

    #[test]
    fn the_lowest_block_is_written_when_too_many_are_incomplete() {
        let gather = Gather::default();
        for number in (0..=to_u64(MAX_OPEN)).rev() {
            let (_, ready) = gather.add(&[1; 10], number * to_u64(BLOCK) + 7);
            assert_eq!(ready.map(|block| pieces_of(&block)), (number == 0).then(|| vec![(7, 10)]));
        }
        assert_eq!(gather.take_rest().len(), MAX_OPEN);
        let gather = Gather::default();
        let count = to_u64(MAX_PIECES);
        for number in 0..=count {
            let (_, ready) = gather.add(&[1], number * 2);
            assert_eq!(
                ready.map(|block| pieces_of(&block).len()),
                (number == count).then_some(MAX_PIECES + 1)
            );
        }
    }

    proptest! {
        /// Whatever the order of the writes, the blocks contain what was added, once.
        #[test]
        fn nothing_is_lost_and_nothing_invented(
            lengths in prop::collection::vec((1usize..700_000, 0usize..3), 1..40),
            order in any::<prop::sample::Index>(),
        ) {
            let mut at = 0;
            let mut writes: Vec<(usize, usize)> = Vec::new();
            for (length, gap) in lengths {
                writes.push((at, length));
                at += length + gap * 5000;
            }
            let turn = order.index(writes.len());
            writes.rotate_left(turn);
            writes[..turn].reverse();
            let value = |at: usize| u8::try_from(at % 251).unwrap() + 1;
            let (gather, mut file) = (Gather::default(), vec![0u8; at]);
            let mut store = |block: Block| {
                for (bytes, at) in block.pieces() {
                    let target = &mut file[to_usize(at)..to_usize(at) + bytes.len()];
                    assert!(target.iter().all(|byte| *byte == 0));
                    target.copy_from_slice(bytes);
                }
                gather.recycle(block);
            };
            for (at, length) in &writes {
                let bytes: Vec<u8> = (*at..at + length).map(value).collect();
                let mut done = 0;
                while done < bytes.len() {
                    let (taken, ready) = gather.add(&bytes[done..], to_u64(at + done));
                    ready.into_iter().for_each(&mut store);
                    done += taken;
                }
            }
            gather.take_rest().into_iter().for_each(&mut store);
            let mut expected = vec![0u8; at];
            for (at, length) in writes {
                (at..at + length).for_each(|at| expected[at] = value(at));
            }
            prop_assert!(file == expected);
        }
    }
}
