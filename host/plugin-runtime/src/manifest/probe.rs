//! The parts of a file by which a format recognises it.

use serde::Deserialize;

use super::quantity::bytes;
use crate::error::LoadError;

pub(super) const MAX_MARKS: usize = 64;

/// The parts of a file by which a format recognises it. Every format is asked about every file, and
/// most recognise theirs by a few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The number of bytes that it needs from the start of the file.
    pub head: usize,
    /// The number of bytes that it needs from the end of the file.
    pub tail: usize,
    /// The marks of its files: about a file without any of them, it is not asked. `None` for a
    /// format without marks, which is asked about every file; an empty list for one that recognises
    /// none.
    pub marks: Option<Vec<Mark>>,
}

/// Bytes at a certain place, by which files of a format are recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The offset in the file; a negative number counts from the end.
    pub at: i64,
    /// The bytes at that offset.
    pub bytes: Vec<u8>,
}

impl Default for Probe {
    /// Returns a probe of everything that the host reads.
    fn default() -> Self {
        Self { head: 64 << 10, tail: 4 << 10, marks: None }
    }
}

impl Probe {
    /// Returns whether a file may be one of this format. `head` and `tail` are its first and last
    /// bytes.
    pub fn admits(&self, head: &[u8], tail: &[u8]) -> bool {
        self.marks.as_ref().is_none_or(|marks| marks.iter().any(|mark| mark.is_in(head, tail)))
    }
}

impl Mark {
    fn is_in(&self, head: &[u8], tail: &[u8]) -> bool {
        let at = usize::try_from(self.at.unsigned_abs()).unwrap_or(usize::MAX);
        let found = if self.at < 0 {
            tail.len().checked_sub(at).and_then(|start| tail.get(start..))
        } else {
            head.get(at..)
        };
        found.is_some_and(|found| found.starts_with(&self.bytes))
    }

    fn is_within(&self, probe: &Probe) -> bool {
        let at = usize::try_from(self.at.unsigned_abs()).unwrap_or(usize::MAX);
        if self.at < 0 {
            at <= probe.tail && self.bytes.len() <= at
        } else {
            at.saturating_add(self.bytes.len()) <= probe.head
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
        let max = Probe::default();
        let length = |key: &str, text: Option<String>, max: usize| match text {
            Some(text) => Ok::<_, LoadError>(usize::try_from(bytes(key, &text)?).map_or(max, |n| n.min(max))),
            None => Ok(max),
        };
        let probe = Probe {
            head: length("plugin.probe.head", self.head, max.head)?,
            tail: length("plugin.probe.tail", self.tail, max.tail)?,
            marks: self
                .marks
                .map(|marks| marks.into_iter().map(MarkTable::parse).collect::<Result<_, _>>())
                .transpose()?,
        };
        let marks = probe.marks.as_deref().unwrap_or_default();
        if marks.len() > MAX_MARKS {
            return Err(LoadError::manifest(format!("`plugin.probe` lists more than {MAX_MARKS} marks")));
        }
        match marks.iter().find(|mark| !mark.is_within(&probe)) {
            Some(mark) => Err(LoadError::manifest(format!(
                "the mark at {} is outside of `head` and `tail` of `plugin.probe`; raise one of them",
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
                "the mark at {} of `plugin.probe` needs either `text` or `hex`, with at least one byte",
                self.at
            ))),
        }
    }
}
