//! Sector bitmaps: which sectors of a block this layer has. The first sector is the highest bit of
//! the first byte.

use imprint_plugin_sdk::{
    format::{
        Budget, FormatError,
        blob::{MAX_RANGES, MAX_READ, read_all},
        wire::{to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::bat::{Bat, Block};

/// Bytes of a bitmap that are as much work as an entry of a table.
const BYTES_OF_AN_ENTRY: u64 = 4;

/// The bitmaps that were read last: at most 1 MiB.
#[derive(Default)]
pub(crate) struct Bitmaps {
    /// By ascending block.
    held: Vec<(Block, Vec<u8>)>,
    /// How many the next read brings; grows while a map is read in order.
    ahead: usize,
}

impl Bitmaps {
    /// The bitmap of the block; reads it and those that follow below the block `end` when it is not
    /// at hand. What was read is taken from `budget`.
    pub(crate) fn load(
        &mut self,
        blob: &dyn Blob,
        bat: &mut Bat,
        block: Block,
        end: u64,
        budget: &mut Budget,
    ) -> Result<&[u8], FormatError> {
        let found = self.held.binary_search_by_key(&block.index, |(held, _)| held.index);
        let index = match found {
            Ok(index) => index,
            Err(_) => {
                self.read(blob, bat, block, end, budget)?;
                0
            }
        };
        let held = self.held.get(index).map(|(_, bits)| bits.as_slice());
        Ok(held.expect("found, or read as the first"))
    }

    fn read(
        &mut self,
        blob: &dyn Blob,
        bat: &mut Bat,
        block: Block,
        end: u64,
        budget: &mut Budget,
    ) -> Result<(), FormatError> {
        let continues = self.held.last().is_some_and(|(last, _)| last.index < block.index);
        let most = to_usize(u64::from(MAX_READ) / bat.bitmap_size())?.min(MAX_RANGES);
        self.ahead = if continues { (self.ahead * 2).clamp(1, most) } else { 1 };
        let mut blocks = vec![block];
        let mut next = block.index + 1;
        while blocks.len() < self.ahead {
            // Holes between blocks are cheap, but a read ahead must not walk the whole table for
            // them.
            let until = end.min(next + to_u64(self.ahead));
            match bat.next_block(blob, next, until) {
                Ok(Some(found)) => {
                    next = found.index + 1;
                    blocks.push(found);
                }
                // What is wrong there is reported when the block is needed.
                Ok(None) | Err(_) => break,
            }
        }
        let ranges: Vec<ByteRange> = blocks.iter().map(|block| block.bitmap).collect();
        let read = read_all(blob, &ranges)?;
        budget.spend(ranges.iter().map(|range| range.length).sum::<u64>() / BYTES_OF_AN_ENTRY);
        self.held = blocks.into_iter().zip(read).collect();
        Ok(())
    }
}

/// The bit of the sector, and how many sectors from there on, below `end`, have the same.
pub(crate) fn run(bits: &[u8], sector: u64, end: u64) -> (bool, u64) {
    let byte_at = |sector: u64| {
        usize::try_from(sector / 8).ok().and_then(|index| bits.get(index)).copied().unwrap_or(0)
    };
    let skip_of = |sector: u64| u32::try_from(sector % 8).expect("below 8");
    let set = byte_at(sector) & (0x80 >> skip_of(sector)) != 0;
    let mut next = sector;
    while next < end {
        let skip = skip_of(next);
        let rest = byte_at(next) << skip;
        let same = if set { rest.leading_ones() } else { rest.leading_zeros() }.min(8 - skip);
        next += u64::from(same);
        if same < 8 - skip {
            break;
        }
    }
    (set, next.min(end) - sector)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn runs_of_bits() {
        let bits = [0b1110_0000, 0xff, 0b1000_0001, 0, 0, 1];
        let mut at = 0;
        let mut runs = Vec::new();
        while at < 48 {
            let (set, length) = run(&bits, at, 48);
            runs.push((set, length));
            at += length;
        }
        assert_eq!(runs, [(true, 3), (false, 5), (true, 9), (false, 6), (true, 1), (false, 23), (true, 1)]);
        assert_eq!(run(&bits, 9, 12), (true, 3));
        assert_eq!(run(&[0xff; 4], 0, 32), (true, 32));
    }
}
