//! Sets of bytes of a file, as ranges.

use std::collections::BTreeMap;

/// Ranges that neither touch nor overlap, by their starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds the bytes from `from` up to and without `to`.
    pub(super) fn insert(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (mut from, mut to) = (from, to);
        // Everything that begins no later than the end of the new range, and ends no earlier than
        // its start, becomes part of it.
        while let Some((&start, &end)) = self.0.range(..=to).next_back() {
            if end < from {
                break;
            }
            self.0.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.0.insert(from, to);
    }

    /// Returns whether every byte from `from` up to and without `to` is there.
    pub(super) fn covers(&self, from: u64, to: u64) -> bool {
        from >= to || self.0.range(..=from).next_back().is_some_and(|(_, end)| *end >= to)
    }

    /// Returns how many bytes are there from the first one on.
    pub(super) fn whole_from_start(&self) -> u64 {
        self.0.get(&0).copied().unwrap_or(0)
    }

    /// Returns how many bytes are there.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    /// Returns the ranges in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The set is the same as one of single bytes, whatever is added in whatever order.
        #[test]
        fn ranges_are_sets_of_bytes(added in prop::collection::vec((0_u64..60, 0_u64..20), 0..40)) {
            let (mut ranges, mut bytes) = (Ranges::default(), [false; 80]);
            for (from, length) in added {
                ranges.insert(from, from + length);
                for at in from..from + length {
                    bytes[usize::try_from(at).unwrap()] = true;
                }
            }
            let count = |bytes: &[bool]| u64::try_from(bytes.iter().filter(|byte| **byte).count()).unwrap();
            prop_assert_eq!(ranges.total(), count(&bytes));
            prop_assert_eq!(ranges.whole_from_start(), u64::try_from(bytes.iter().take_while(|byte| **byte).count()).unwrap());
            let mut last = None;
            for (from, to) in ranges.iter() {
                prop_assert!(from < to && last.is_none_or(|last| last < from));
                last = Some(to);
            }
            for from in 0..79 {
                for to in from..79 {
                    let (first, end) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
                    prop_assert_eq!(ranges.covers(from, to), bytes[first..end].iter().all(|byte| *byte));
                }
            }
        }
    }
}
