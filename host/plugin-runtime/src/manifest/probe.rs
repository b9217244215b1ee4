//! What a format judges a file by.

use serde::Deserialize;

use super::quantity::bytes;
use crate::error::LoadError;

pub(super) const MAX_MARKS: usize = 64;

/// What a format judges a file by: every format is asked about every file, and most know theirs by
/// a few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Bytes that it has to see, from the begin of the file.
    pub head: usize,
    /// The same, up to the end.
    pub tail: usize,
    /// A file without any of these marks is none of its files, and it is not asked. `None` for a
    /// format that has to look itself; none at all for one that knows no file.
    pub marks: Option<Vec<Mark>>,
}

/// Bytes by which files of a format can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where; a negative number counts from the end of the file.
    pub at: i64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Default for Probe {
    /// All that the host reads.
    fn default() -> Self {
        Self { head: 64 << 10, tail: 4 << 10, marks: None }
    }
}

impl Probe {
    /// Whether a file may be one of the format, by the bytes that it has to see of it.
    pub fn admits(&self, head: &[u8], tail: &[u8]) -> bool {
        self.marks.as_ref().is_none_or(|marks| marks.iter().any(|mark| mark.is_in(head, tail)))
    }
}

impl Mark {
    fn is_in(&self, head: &[u8], tail: &[u8]) -> bool {
        let at = usize::try_from(self.at.unsigned_abs()).unwrap_or(usize::MAX);
        let found = match self.at < 0 {
            false => head.get(at..),
            true => tail.len().checked_sub(at).and_then(|start| tail.get(start..)),
        };
        found.is_some_and(|found| found.starts_with(&self.bytes))
    }

    fn lies_within(&self, probe: &Probe) -> bool {
        let at = usize::try_from(self.at.unsigned_abs()).unwrap_or(usize::MAX);
        match self.at < 0 {
            false => at.saturating_add(self.bytes.len()) <= probe.head,
            true => at <= probe.tail && self.bytes.len() <= at,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ProbeTable {
    head: Option<String>,
    tail: Option<String>,
    marks: Option<Vec<MarkTable>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MarkTable {
    at: i64,
    text: Option<String>,
    hex: Option<String>,
}

impl ProbeTable {
    pub(super) fn parse(self) -> Result<Probe, LoadError> {
        let most = Probe::default();
        let length = |text: Option<String>, most: usize| match text {
            Some(text) => Ok::<_, LoadError>(usize::try_from(bytes(&text)?).map_or(most, |n| n.min(most))),
            None => Ok(most),
        };
        let probe = Probe {
            head: length(self.head, most.head)?,
            tail: length(self.tail, most.tail)?,
            marks: self
                .marks
                .map(|marks| marks.into_iter().map(MarkTable::parse).collect::<Result<_, _>>())
                .transpose()?,
        };
        let marks = probe.marks.as_deref().unwrap_or_default();
        if marks.len() > MAX_MARKS {
            return Err(LoadError::manifest(format!("`plugin.probe` lists more than {MAX_MARKS} marks")));
        }
        match marks.iter().find(|mark| !mark.lies_within(&probe)) {
            Some(mark) => Err(LoadError::manifest(format!(
                "the mark at {} lies outside of what `plugin.probe` has to see; raise `head` or `tail`",
                mark.at
            ))),
            None => Ok(probe),
        }
    }
}

impl MarkTable {
    fn parse(self) -> Result<Mark, LoadError> {
        let bytes = match (self.text, self.hex) {
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(digits)) => hex::decode(digits).ok(),
            (Some(_), Some(_)) | (None, None) => None,
        };
        match bytes.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => Ok(Mark { at: self.at, bytes }),
            None => Err(LoadError::manifest(format!(
                "the mark at {} of `plugin.probe` needs either `text` or `hex`, with a byte at least",
                self.at
            ))),
        }
    }
}
