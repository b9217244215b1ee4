//! Where the blocks of a new file are, for formats whose table has one entry for each block of the
//! disk.

use super::shapes::Placed;
use crate::error::{Error, Result};

/// The most runs of one report.
const MAX_RUNS: usize = 4096;
/// Blocks of a disk; a bit each is 8 MiB.
const MAX_BLOCKS: u64 = 1 << 26;
/// Places where the payload does not continue behind the block before; 16 bytes each.
const MAX_JUMPS: usize = 1 << 20;

/// Takes placements of whole blocks in ascending order, and says afterwards where each block is.
///
/// Memory: one bit for each block of the disk, and 16 bytes wherever a stored block does not follow
/// the stored block before it in the file. Both are bounded: 2^26 blocks, 2^20 such places; more is
/// `limit.layout-memory`.
#[derive(Debug)]
pub struct BlockPlaces {
    virtual_size: u64,
    block: u64,
    data_start: u64,
    align: u64,
    present: Vec<u64>,
    /// Stored blocks before the place, and where the next one is.
    jumps: Vec<(u64, u64)>,
    stored: u64,
    /// No placement may start before this block.
    next: u64,
    end: u64,
}

impl BlockPlaces {
    /// For a disk of `virtual_size` bytes in blocks of `block` bytes, stored from `data_start` on
    /// in the file at multiples of `align` from there. `block` and `align` are not 0.
    ///
    /// # Errors
    ///
    /// `limit.layout-memory` for a disk of more than 2^26 blocks.
    pub fn new(virtual_size: u64, block: u64, data_start: u64, align: u64) -> Result<Self> {
        let blocks = virtual_size.div_ceil(block);
        if blocks > MAX_BLOCKS {
            let text =
                format!("a disk of {blocks} blocks, and {MAX_BLOCKS} are possible; ask for larger blocks");
            return Err(Error::limit("limit.layout-memory", text));
        }
        let words = usize::try_from(blocks.div_ceil(64)).expect("at most 2^20");
        Ok(Self {
            virtual_size,
            block,
            data_start,
            align,
            present: vec![0; words],
            jumps: Vec::new(),
            stored: 0,
            next: 0,
            end: data_start,
        })
    }

    /// Takes the next placements.
    ///
    /// # Errors
    ///
    /// `invalid.request` for a placement that is not made of whole blocks, in ascending order,
    /// where a block may be; `limit.layout-memory` when there are too many pieces.
    pub fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        if runs.len() > MAX_RUNS {
            let text = format!("{} runs in one report; {MAX_RUNS} are possible", runs.len());
            return Err(Error::invalid_input("invalid.request", text));
        }
        runs.iter().try_for_each(|run| self.take(run))
    }

    /// Returns the number of blocks of the disk.
    pub fn blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block)
    }

    /// Returns the number of blocks that are in the file.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Returns where the payload ends in the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Returns where each block is in the file, from the block `first` on to the last of the disk;
    /// `None` is not stored.
    pub fn places(&self, first: u64) -> impl Iterator<Item = Option<u64>> + '_ {
        let word = usize::try_from(first / 64).unwrap_or(usize::MAX);
        let before: u64 = self.present.iter().take(word).map(|word| u64::from(word.count_ones())).sum();
        let within = self.present.get(word).map_or(0, |word| (word & ((1 << (first % 64)) - 1)).count_ones());
        let mut rank = before + u64::from(within);
        let mut jump = self.jumps.partition_point(|(at, _)| *at <= rank);
        (first..self.blocks()).map(move |index| {
            if !self.is_present(index) {
                return None;
            }
            if self.jumps.get(jump).is_some_and(|(at, _)| *at == rank) {
                jump += 1;
            }
            let (at, start) = jump.checked_sub(1).and_then(|last| self.jumps.get(last))?;
            let place = start + (rank - at) * self.block;
            rank += 1;
            Some(place)
        })
    }

    fn is_present(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|word| self.present.get(word));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn take(&mut self, run: &Placed) -> Result<()> {
        let (first, end) = self.blocks_of(run)?;
        let into =
            run.file_offset.checked_sub(self.data_start).filter(|into| into.is_multiple_of(self.align));
        let file_end =
            (end - first).checked_mul(self.block).and_then(|length| run.file_offset.checked_add(length));
        let (Some(_), Some(file_end)) = (into, file_end) else {
            return Err(bad_run("is not stored where a block may be", run));
        };
        if self.stored == 0 || run.file_offset != self.follows() {
            if self.jumps.len() >= MAX_JUMPS {
                return Err(Error::limit(
                    "limit.layout-memory",
                    format!("the payload is in more than {MAX_JUMPS} pieces; ask for larger blocks"),
                ));
            }
            self.jumps.push((self.stored, run.file_offset));
        }
        // A run may be the whole disk: words, not bits.
        let mut index = first;
        while index < end {
            let next = (index / 64 + 1).saturating_mul(64).min(end);
            let bits = u64::MAX >> (64 - (next - index)) << (index % 64);
            let word = usize::try_from(index / 64).ok().and_then(|word| self.present.get_mut(word));
            *word.expect("the run lies in the disk") |= bits;
            index = next;
        }
        self.stored += end - first;
        self.next = end;
        self.end = self.end.max(file_end);
        Ok(())
    }

    /// Where the block behind the last stored one would be.
    fn follows(&self) -> u64 {
        self.jumps.last().map_or(self.data_start, |(at, start)| start + (self.stored - at) * self.block)
    }

    /// The blocks of a run: the first, and the first behind it.
    fn blocks_of(&self, run: &Placed) -> Result<(u64, u64)> {
        if run.stored_length != 0 {
            return Err(bad_run("is encoded, and this format does not encode", run));
        }
        let end = run.offset.checked_add(run.length).filter(|end| *end <= self.blocks() * self.block);
        let end = end.ok_or_else(|| bad_run("ends behind the disk", run))?;
        let whole = end.is_multiple_of(self.block) || end == self.virtual_size;
        if run.length == 0 || !run.offset.is_multiple_of(self.block) || !whole {
            return Err(bad_run("is not made of whole blocks", run));
        }
        let first = run.offset / self.block;
        if first < self.next {
            return Err(bad_run("is not in ascending order", run));
        }
        Ok((first, end.div_ceil(self.block)))
    }
}

fn bad_run(what: &str, run: &Placed) -> Error {
    let Placed { offset, length, file_offset, .. } = run;
    let text =
        format!("the placement of {length} bytes at {offset:#x} at {file_offset:#x} of the file {what}");
    Error::invalid_input("invalid.request", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, blocks: u64, file_offset: u64) -> Placed {
        Placed { offset: first * 4096, length: blocks * 4096, file_offset, stored_length: 0 }
    }

    #[test]
    fn blocks_are_found_where_they_were_placed() {
        let mut places = BlockPlaces::new(200 * 4096, 4096, 8192, 512).unwrap();
        places.placed(&[run(1, 2, 8192), run(70, 1, 8192 + 2 * 4096)]).unwrap();
        places.placed(&[run(130, 3, 100 * 512), run(199, 1, 8192 + 7 * 4096)]).unwrap();
        let all: Vec<_> = places.places(0).collect();
        assert_eq!(all.len(), 200);
        let stored: Vec<_> =
            (0_u64..).zip(&all).filter_map(|(index, place)| Some((index, (*place)?))).collect();
        let expected =
            [(1, 8192), (2, 12288), (70, 16384), (130, 51200), (131, 55296), (132, 59392), (199, 36864)];
        assert_eq!(stored, expected);
        for first in 0..=200 {
            let tail: Vec<_> = places.places(first).collect();
            assert_eq!(tail, all[usize::try_from(first).unwrap()..], "from {first}");
        }
        assert_eq!((places.stored(), places.blocks(), places.end()), (7, 200, 63488));
    }

    #[test]
    fn the_last_block_may_be_cut_and_no_other() {
        let cut = Placed { offset: 4096, length: 512, file_offset: 0, stored_length: 0 };
        let places = || BlockPlaces::new(4096 + 512, 4096, 0, 4096).unwrap();
        places().placed(&[cut]).unwrap();
        places().placed(&[Placed { length: 4096, ..cut }]).unwrap();
        let bad = [
            Placed { offset: 0, ..cut },
            Placed { length: 1024, ..cut },
            Placed { length: 0, ..cut },
            Placed { length: 8192, ..cut },
            Placed { length: u64::MAX, ..cut },
            Placed { file_offset: 512, ..cut },
            Placed { file_offset: u64::MAX - 4095, ..cut },
            Placed { stored_length: 5, ..cut },
        ];
        for run in bad {
            assert_eq!(places().placed(&[run]).unwrap_err().code, "invalid.request", "{run:?}");
        }
        assert_eq!(places().placed(&[cut, cut]).unwrap_err().code, "invalid.request");
        assert_eq!(places().placed(&vec![cut; 4097]).unwrap_err().code, "invalid.request");
        let huge = BlockPlaces::new(1 << 50, 4096, 0, 4096).unwrap_err();
        assert_eq!(huge.code, "limit.layout-memory");
    }
}
