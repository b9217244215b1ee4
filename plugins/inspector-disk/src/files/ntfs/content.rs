//! Content of files: the parts of a stream that several records describe, and reads of it.

use imprint_plugin_sdk::error::Result;

use super::{
    Ntfs,
    record::Record,
    stream::{MAX_RUNS, Stream},
};
use crate::bytes::{budget, byte, corrupt, le16, le32, le64, to_u64, to_usize};

/// The type of an attribute that lists the other ones, where they are in several records.
const LIST: u32 = 0x20;
/// The longest list, and the most records that one names for an attribute.
const MAX_LIST: u64 = 64 << 10;
const MAX_PARTS: usize = 256;
/// The bits of a reference that are the number of a record.
const NUMBER: u64 = (1 << 48) - 1;

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
