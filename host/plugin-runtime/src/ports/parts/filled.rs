//! Which bytes of a part are there.

use std::collections::BTreeMap;

/// Ranges of a part, merged where they touch.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// The end of each range by its start.
    ranges: BTreeMap<usize, usize>,
}

impl Filled {
    /// Adds a range.
    pub(super) fn add(&mut self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        if let Some((&before, &until)) = self.ranges.range(..=start).next_back()
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        let touched: Vec<usize> = self.ranges.range(start..=end).map(|(&from, _)| from).collect();
        for from in touched {
            let until = self.ranges.remove(&from).unwrap_or(from);
            end = end.max(until);
        }
        self.ranges.insert(start, end);
    }

    /// Returns whether every byte before `end` is there.
    pub(super) fn is_full(&self, end: usize) -> bool {
        end == 0 || self.ranges.first_key_value().is_some_and(|(&start, &until)| start == 0 && until >= end)
    }

    /// Returns the ranges before `end` that are missing.
    pub(super) fn gaps(&self, end: usize) -> Vec<(usize, usize)> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for (&start, &until) in &self.ranges {
            if start > at && at < end {
                gaps.push((at, start.min(end)));
            }
            at = at.max(until);
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The ranges and the gaps are those of the plain set of bytes.
        #[test]
        fn ranges_are_those_of_the_set_of_bytes(pieces in prop::collection::vec((0_usize..40, 0_usize..10), 0..12)) {
            let mut filled = Filled::default();
            let mut bytes = [false; 50];
            for (start, length) in pieces {
                filled.add(start, start + length);
                bytes[start..start + length].fill(true);
            }
            for end in 0..50 {
                prop_assert_eq!(filled.is_full(end), bytes[..end].iter().all(|there| *there));
                let mut missing = [false; 50];
                for (from, to) in filled.gaps(end) {
                    prop_assert!(from < to && to <= end);
                    missing[from..to].fill(true);
                }
                for at in 0..end {
                    prop_assert_eq!(missing[at], !bytes[at], "{} of {}", at, end);
                }
            }
        }
    }
}
