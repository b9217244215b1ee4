//! Which blocks of a file its map names.

use imprint_plugin_sdk::format::FormatError;

use crate::header::Header;

/// A bit for each block of the file that a map can name.
pub(crate) struct Used {
    bits: Vec<u64>,
    count: u64,
}

impl Used {
    /// Of a map that names none.
    pub(crate) fn none_of(header: &Header) -> Self {
        let words = usize::try_from(header.blocks.div_ceil(64)).expect("at most 2^20");
        Self { bits: vec![0; words], count: 0 }
    }

    /// Returns how many blocks the map names.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Marks a block, which is below the number of blocks of the disk.
    ///
    /// # Errors
    ///
    /// It is marked already.
    pub(crate) fn claim(&mut self, number: u32) -> Result<(), FormatError> {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get_mut(word));
        let word = word.expect("the number is below the count of blocks");
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return Err(FormatError::Aliased(format!(
                "block {number} of the file is named twice by the map"
            )));
        }
        *word |= bit;
        self.count += 1;
        Ok(())
    }

    /// Returns the first block of the file from `number` on that the map does not name, below
    /// `end`, which is at most the number of blocks of the disk.
    pub(crate) fn next_unused(&self, number: u64, end: u64) -> Option<u64> {
        let first = usize::try_from(number / 64).ok()?;
        let words = (number / 64..).zip(self.bits.get(first..)?);
        let free = words.map(|(at, word)| {
            let mask = if at == number / 64 { u64::MAX << (number % 64) } else { u64::MAX };
            (at, !word & mask)
        });
        let (at, word) = free.into_iter().find(|(_, word)| *word != 0)?;
        let unused = at * 64 + u64::from(word.trailing_zeros());
        (unused < end).then_some(unused)
    }
}
