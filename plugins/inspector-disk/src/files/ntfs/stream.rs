//! Content of attributes: in the record, or in runs of clusters.

use imprint_plugin_sdk::error::Result;

use crate::bytes::{budget, byte, corrupt, to_u64};

/// The most runs of a stream.
pub(super) const MAX_RUNS: usize = 16_384;
/// Where content is.
pub(super) enum Stream {
    Inline(Vec<u8>),
    Runs { runs: Vec<Run>, length: u64 },
}

/// A run of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first cluster in the file.
    pub(super) first: u64,
    pub(super) count: u64,
    /// The first cluster on the disk; `None` for a hole.
    pub(super) place: Option<u64>,
}

impl Stream {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => to_u64(bytes.len()),
            Self::Runs { length, .. } => *length,
        }
    }
}

/// Reads a list of runs: each is a byte with the lengths of two numbers, the count, and the
/// distance from the run before.
pub(super) fn runs(list: &[u8], first: u64) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let (mut at, mut first, mut place) = (0, first, 0_u64);
    let damaged = || corrupt("a list of runs of clusters is damaged");
    loop {
        let head = byte(list, at);
        if head == 0 {
            return Ok(runs);
        }
        let (counts, distances) = (usize::from(head & 0xf), usize::from(head >> 4));
        let count = number(list, at + 1, counts).and_then(|count| u64::try_from(count).ok());
        let count = count.filter(|count| *count > 0).ok_or_else(damaged)?;
        let distance = number(list, at + 1 + counts, distances).ok_or_else(damaged)?;
        place = place.checked_add_signed(distance).ok_or_else(damaged)?;
        runs.push(Run { first, count, place: (distances > 0).then_some(place) });
        if runs.len() > MAX_RUNS {
            return Err(budget(format!("a file has more than {MAX_RUNS} runs of clusters")));
        }
        first = first.checked_add(count).ok_or_else(damaged)?;
        at += 1 + counts + distances;
    }
}

/// Returns a signed number of a few bytes.
fn number(list: &[u8], at: usize, length: usize) -> Option<i64> {
    if length > 8 {
        return None;
    }
    let bytes = list.get(at..at + length)?;
    let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole.get_mut(..length)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_with_distances_back_and_holes() {
        let list = [0x21, 0x10, 0x00, 0x01, 0x11, 0x08, 0xf0, 0x01, 0x04, 0x00];
        let run = |first, count, place| Run { first, count, place };
        assert_eq!(runs(&list, 0).unwrap(), [run(0, 16, Some(256)), run(16, 8, Some(240)), run(24, 4, None)]);
        // Counts of nothing, numbers of nine bytes, distances in front of the disk, and no end.
        for damaged in
            [&[0x11, 0, 5, 0][..], &[0x19, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0], &[0x11, 1, 0x80, 0], &[0x11, 1]]
        {
            assert_eq!(runs(damaged, 0).unwrap_err().code, "inspect.corrupt", "{damaged:x?}");
        }
        assert_eq!(runs(&[0x11, 1, 1].repeat(20_000), 0).unwrap_err().code, "inspect.budget");
    }
}
