//! Which MiB of a file are in use.

use imprint_plugin_sdk::format::FormatError;

use crate::header::MIB;

/// MiB of the largest file that is read; a bit each is 16 MiB.
const MAX_FILE_MIB: u64 = 1 << 27;

/// A bit for each MiB of the file.
pub(crate) struct Used {
    bits: Vec<u64>,
    /// MiB of the file; the last may be cut.
    mib: u64,
}

impl Used {
    /// Of a file of which nothing is used.
    pub(crate) fn none_of(file: u64) -> Result<Self, FormatError> {
        check_size(file)?;
        let mib = file.div_ceil(MIB);
        let words = usize::try_from(mib.div_ceil(64)).expect("at most 2^21");
        Ok(Self { bits: vec![0; words], mib })
    }

    /// Marks the range as far as it lies in the file; returns whether none of it was marked before.
    pub(crate) fn claim(&mut self, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length).div_ceil(MIB).min(self.mib);
        let mut free = true;
        for mib in offset / MIB..end {
            let word = usize::try_from(mib / 64).ok().and_then(|word| self.bits.get_mut(word));
            let word = word.expect("the range was cut to the file");
            free &= *word >> (mib % 64) & 1 == 0;
            *word |= 1 << (mib % 64);
        }
        free
    }

    /// Marks whatever the other one has marked, of the same file.
    pub(crate) fn include(&mut self, other: &Self) {
        for (word, other) in self.bits.iter_mut().zip(&other.bits) {
            *word |= other;
        }
    }

    /// Returns the next run of MiB that are not in use, from that one on: the first, and the first
    /// behind it.
    pub(crate) fn next_free(&self, from: u64) -> Option<(u64, u64)> {
        let first = self.next(from, |word| !word)?;
        Some((first, self.next(first, |word| word).unwrap_or(self.mib)))
    }

    /// The first MiB from that one on whose bit is set in what `wanted` makes of its word.
    fn next(&self, from: u64, wanted: fn(u64) -> u64) -> Option<u64> {
        let first = usize::try_from(from / 64).ok()?;
        let words = (from / 64..).zip(self.bits.get(first..)?);
        let found = words.map(|(number, word)| {
            let mask = if number == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
            (number, wanted(*word) & mask)
        });
        let (number, word) = found.into_iter().find(|(_, word)| *word != 0)?;
        let mib = number * 64 + u64::from(word.trailing_zeros());
        (mib < self.mib).then_some(mib)
    }
}

/// Refuses files that are larger than any image needs.
pub(crate) fn check_size(file: u64) -> Result<(), FormatError> {
    let mib = file.div_ceil(MIB);
    if mib > MAX_FILE_MIB {
        return Err(FormatError::TableSize(format!(
            "the file has {mib} MiB, and {MAX_FILE_MIB} are possible; the disk in it has at most 64 TiB"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_free_are_found_across_words() {
        let mut used = Used::none_of(200 * MIB + 1).unwrap();
        assert_eq!(used.next_free(0), Some((0, 201)));
        assert!(used.claim(0, 64 * MIB) && used.claim(70 * MIB, 100 * MIB));
        assert!(!used.claim(69 * MIB, 2 * MIB), "one of them was marked");
        assert_eq!(used.next_free(0), Some((64, 69)));
        assert_eq!(used.next_free(66), Some((66, 69)));
        assert_eq!(used.next_free(69), Some((170, 201)));
        let mut all = Used::none_of(200 * MIB + 1).unwrap();
        all.claim(0, u64::MAX);
        used.include(&all);
        assert_eq!(used.next_free(0), None);
    }
}
