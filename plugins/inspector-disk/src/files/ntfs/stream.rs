//! Content of attributes: in the record, or in runs of clusters.

use imprint_plugin_sdk::error::Result;

use super::{Ntfs, record::Record};
use crate::bytes::{budget, byte, corrupt, le16, le32, le64, to_u64, to_usize};

/// The type of an attribute that lists the other ones, where they are in several records.
const LIST: u32 = 0x20;
/// The longest list, and the most records that one names for an attribute.
const MAX_LIST: u64 = 64 << 10;
const MAX_PARTS: usize = 256;
/// The most runs of a stream.
const MAX_RUNS: usize = 16_384;
/// The bits of a reference that are the number of a record.
const NUMBER: u64 = (1 << 48) - 1;

/// Where content is.
pub(super) enum Stream {
    Inline(Vec<u8>),
    Runs { runs: Vec<Run>, length: u64 },
}

/// A run of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first cluster in the file.
    first: u64,
    count: u64,
    /// The first cluster on the disk; `None` for a hole.
    place: Option<u64>,
}

impl Stream {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => to_u64(bytes.len()),
            Self::Runs { length, .. } => *length,
        }
    }
}

/// Reads a list of runs: each is a byte with the lengths of two numbers, the count, and the distance
/// from the run before.
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

impl Ntfs {
    /// Returns the content of an attribute, which may be described in several records.
    pub(super) fn stream(&self, record: &Record, kind: u32, name: &str) -> Result<Option<Stream>> {
        let Some(list) = record.attribute(LIST, "")? else {
            return record.attribute(kind, name)?.map(|attribute| attribute.stream()).transpose();
        };
        let list = list.stream()?;
        if list.length() > MAX_LIST {
            return Err(budget("a file is described in too many records"));
        }
        let mut bytes = vec![0; to_usize(list.length())];
        self.read(&list, 0, &mut bytes)?;
        let mut at = 0;
        let mut whole: Option<Stream> = None;
        let mut parts = 0;
        while at + 26 <= bytes.len() {
            let length = usize::from(le16(&bytes, at + 4));
            if length < 26 {
                return Err(corrupt("the list of a file's attributes is damaged"));
            }
            let reference = le64(&bytes, at + 16) & NUMBER;
            if le32(&bytes, at) == kind && usize::from(byte(&bytes, at + 6)) == name.len() {
                parts += 1;
                if parts > MAX_PARTS {
                    return Err(budget("a file is described in too many records"));
                }
                if let Some(attribute) = self.record(reference)?.attribute(kind, name)? {
                    join(&mut whole, attribute.stream()?);
                }
            }
            at += length;
        }
        Ok(whole)
    }

    /// Reads content; what is in no run is a hole.
    pub(super) fn read(&self, stream: &Stream, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(to_u64(buf.len())).filter(|end| *end <= stream.length());
        let Some(end) = end else {
            return Err(corrupt(format!("{} bytes at {offset} are behind the end of a file", buf.len())));
        };
        let runs = match stream {
            Stream::Inline(bytes) => {
                buf.copy_from_slice(bytes.get(to_usize(offset)..to_usize(end)).unwrap_or_default());
                return Ok(());
            }
            Stream::Runs { runs, .. } => runs,
        };
        buf.fill(0);
        for run in runs {
            let start = run.first.saturating_mul(self.cluster);
            let stop = run.first.saturating_add(run.count).saturating_mul(self.cluster);
            let (from, to) = (start.max(offset), stop.min(end));
            let (Some(place), true) = (run.place, from < to) else { continue };
            let at = place.saturating_mul(self.cluster).saturating_add(from - start);
            if let Some(part) = buf.get_mut(to_usize(from - offset)..to_usize(to - offset)) {
                self.window.read(at, part)?;
            }
        }
        Ok(())
    }
}

/// Adds the next part of a stream. The first one has the length of all.
fn join(whole: &mut Option<Stream>, part: Stream) {
    match (whole.as_mut(), part) {
        (Some(Stream::Runs { runs, .. }), Stream::Runs { runs: more, .. }) => {
            let room = MAX_RUNS.saturating_sub(runs.len());
            runs.extend(more.into_iter().take(room));
        }
        (Some(_), _) => {}
        (None, part) => *whole = Some(part),
    }
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
