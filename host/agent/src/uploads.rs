//! The logs of uploads: what a storage has of an upload that is not complete, so that the next
//! attempt of the same task sends only the rest.
//!
//! `<data>/agent/uploads/<task>.upload` holds JSON lines: the [`UploadHeader`], then a line for
//! each part that the storage has. It is written by the attempt that sends, and outlives it only
//! where another attempt can use it: after a crash, a restart, or a failure that may pass. What no
//! attempt took over is removed from the storage after [`KEPT`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use imprint_agent_protocol::StorageRef;
use imprint_domain::id::TaskId;
use imprint_ports::{ByteRange, PartLog, SentPart};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{durable, sync::lock};

/// The version of the lines' format.
const VERSION: u32 = 1;
/// The extension of a log's file name, `<task>.upload`.
const UPLOAD: &str = "upload";
/// The longest line in bytes.
const MAX_LINE: usize = 64 << 10;
/// The largest number of parts.
const MAX_PARTS: usize = 100_000;

/// The time for which an upload waits for another attempt of its task.
pub(crate) const KEPT: Duration = Duration::from_secs(6 * 60 * 60);

/// The first line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadHeader {
    version: u32,
    /// The task that uploads.
    pub(crate) task: TaskId,
    /// The storage that the upload is on.
    pub(crate) storage: StorageRef,
    /// The key that the object gets.
    pub(crate) key: String,
    /// The upload's token, in hexadecimal digits.
    token: String,
}

impl UploadHeader {
    pub(crate) fn new(task: TaskId, storage: &StorageRef, key: &str, token: &[u8]) -> Self {
        // The upload has begun, so the folder is marked: one without a marker is another one.
        let storage = StorageRef { initialise: false, ..storage.clone() };
        Self { version: VERSION, task, storage, key: key.to_owned(), token: hex::encode(token) }
    }

    /// Returns the token; `None` where the line is damaged.
    pub(crate) fn token(&self) -> Option<Vec<u8>> {
        hex::decode(&self.token).ok()
    }
}

/// A line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The storage has a part.
    Part(SentPart),
    /// All parts are there: the object may be visible from here on.
    Committing,
}

/// The log of one upload.
pub(crate) struct UploadLog {
    path: PathBuf,
    header: UploadHeader,
    /// The parts of earlier attempts.
    known: Vec<SentPart>,
    committing: bool,
    file: Mutex<File>,
}

impl UploadLog {
    /// Starts the log of a new upload; it replaces an earlier one of the same task, and is durable
    /// when this returns. Blocks.
    pub(crate) fn create(folder: &Path, header: UploadHeader) -> io::Result<Self> {
        let path = path_of(folder, header.task);
        durable::write(&path, &line(&header)?)?;
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path, header, known: Vec::new(), committing: false, file: Mutex::new(file) })
    }

    /// Returns the log that an earlier attempt of a task left; `None` where there is none. One that
    /// cannot be read is an error of the kind [`io::ErrorKind::InvalidData`]. Blocks.
    pub(crate) fn find(folder: &Path, task: TaskId) -> io::Result<Option<Self>> {
        match Self::open(&path_of(folder, task)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A crash may have cut off the last line.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        text.truncate(whole);
        let length = u64::try_from(whole).map_err(io::Error::other)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        let invalid = |error: serde_json::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let header: UploadHeader =
            serde_json::from_slice(lines.next().unwrap_or_default()).map_err(invalid)?;
        if header.version != VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another version wrote it"));
        }
        let (mut parts, mut committing) = (Vec::new(), false);
        for line in lines {
            match serde_json::from_slice(line).map_err(invalid)? {
                Line::Part(part) => parts.push(part),
                Line::Committing => committing = true,
            }
        }
        let known = latest(parts);
        Ok(Self { path: path.to_owned(), header, known, committing, file: Mutex::new(file) })
    }

    /// Returns the logs of all uploads that were not used for that long, with those that cannot be
    /// read removed. Blocks.
    pub(crate) fn unused(folder: &Path, for_longer_than: Duration) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let unused = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|file| file.modified()).ok();
            let age = modified.and_then(|modified| modified.elapsed().ok());
            age.is_some_and(|age| age > for_longer_than)
        };
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == UPLOAD);
        paths
            .filter(|path| is_log(path) && unused(path))
            .filter_map(|path| match Self::open(&path) {
                Ok(log) => Some(log),
                Err(problem) => {
                    warn!(path = %path.display(), %problem, "removing the log of an upload that cannot be read");
                    durable::remove_file(&path).ok();
                    None
                }
            })
            .collect()
    }

    pub(crate) fn header(&self) -> &UploadHeader {
        &self.header
    }

    /// Returns whether an earlier attempt had sent every part, so that the object may be visible.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing
    }

    /// Writes down that every part is sent; durable when this returns. Blocks.
    pub(crate) fn committing(&self) -> io::Result<()> {
        self.append(&Line::Committing)?;
        lock(&self.file).sync_data()
    }

    /// Makes the log as young as one that was just written: it waits for [`KEPT`] again. Blocks.
    pub(crate) fn touch(&self) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        Ok(rustix::fs::futimens(&*lock(&self.file), &times)?)
    }

    /// Removes the log. Blocks.
    pub(crate) fn remove(&self) -> io::Result<()> {
        durable::remove_file(&self.path)
    }

    fn append(&self, value: &Line) -> io::Result<()> {
        lock(&self.file).write_all(&line(value)?)
    }
}

impl PartLog for UploadLog {
    fn known(&self) -> Vec<SentPart> {
        self.known.clone()
    }

    /// The bytes of the part are durable on the storage, and a line that a crash of the whole
    /// machine loses costs nothing but the part, so that nothing is synced here.
    fn sent(&self, part: SentPart) {
        if let Err(error) = self.append(&Line::Part(part)) {
            warn!(task = %self.header.task, %error, "cannot write down a part of an upload; it may be sent again");
        }
    }
}

/// Removes the log of a task's upload, if there is one. Blocks.
pub(crate) fn remove(folder: &Path, task: TaskId) -> io::Result<()> {
    durable::remove_file(&path_of(folder, task))
}

fn path_of(folder: &Path, task: TaskId) -> PathBuf {
    folder.join(format!("{task}.{UPLOAD}"))
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(io::Error::other)?;
    if text.len() >= MAX_LINE {
        return Err(io::Error::other(format!("a line has at most {MAX_LINE} bytes")));
    }
    text.push(b'\n');
    Ok(text)
}

/// Returns the last line about each place, in ascending order and without overlaps.
fn latest(mut parts: Vec<SentPart>) -> Vec<SentPart> {
    parts.reverse();
    parts.sort_by_key(|part| part.range.offset);
    parts.dedup_by_key(|part| part.range.offset);
    parts.truncate(MAX_PARTS);
    let mut end = 0;
    parts.retain(|part| {
        let ByteRange { offset, length } = part.range;
        let next = offset.saturating_add(length);
        let apart = offset >= end && length > 0;
        end = if apart { next } else { end };
        apart
    });
    parts
}

#[cfg(test)]
mod tests {
    use imprint_domain::{id::StorageId, plugin_kind::StorageKind};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn part(offset: u64, length: u64, answer: &str) -> SentPart {
        SentPart { range: ByteRange { offset, length }, digest: Some([7; 32]), answer: answer.to_owned() }
    }

    fn header() -> UploadHeader {
        let storage = StorageRef {
            id: StorageId::new(Uuid::from_u128(9)),
            kind: StorageKind::local(),
            settings: std::collections::BTreeMap::new(),
            secrets_version: 0,
            initialise: true,
        };
        UploadHeader::new(TaskId::new(Uuid::from_u128(7)), &storage, "img_1.qcow2", b"token")
    }

    #[test]
    fn a_log_outlives_its_process_and_a_line_that_was_cut_off_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let header = header();
        assert!(UploadLog::find(folder.path(), header.task).unwrap().is_none());
        let log = UploadLog::create(folder.path(), header.clone()).unwrap();
        log.sent(part(0, 10, "a"));
        log.sent(part(20, 10, "c"));
        log.sent(part(10, 10, "b"));
        log.sent(part(20, 10, "sent again"));
        assert_eq!(log.known(), [], "only of earlier attempts");
        let path = log.path.clone();
        let text = fs::read(&path).unwrap();
        drop(log);
        let whole = [part(0, 10, "a"), part(10, 10, "b"), part(20, 10, "sent again")];
        for cut in [0, 1, 20] {
            fs::write(&path, &text[..text.len() - cut]).unwrap();
            let found = UploadLog::find(folder.path(), header.task).unwrap().unwrap();
            assert_eq!(found.header(), &header);
            assert_eq!(found.header().token().unwrap(), b"token");
            assert_eq!(found.known()[..2], whole[..2]);
            assert_eq!(found.known()[2].answer, if cut == 0 { "sent again" } else { "c" });
            assert!(!found.is_committing());
            found.sent(part(30, 1, "d"));
            found.committing().unwrap();
            let again = UploadLog::find(folder.path(), header.task).unwrap().unwrap();
            assert_eq!((again.known().len(), again.is_committing()), (4, true));
        }
        remove(folder.path(), header.task).unwrap();
        assert!(UploadLog::find(folder.path(), header.task).unwrap().is_none());
    }

    #[test]
    fn a_log_that_cannot_be_read_is_removed_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let log = UploadLog::create(folder.path(), header()).unwrap();
        let broken = folder.path().join("task.upload");
        fs::write(&broken, b"nonsense\n").unwrap();
        assert_eq!(UploadLog::unused(folder.path(), KEPT).len(), 0);
        assert!(broken.exists(), "it is young");
        assert_eq!(UploadLog::unused(folder.path(), Duration::ZERO).len(), 1);
        assert!(!broken.exists());
        assert!(log.path.exists());
    }

    proptest! {
        /// Whatever a log says, the parts ascend and do not overlap, and the last line about a
        /// place counts.
        #[test]
        fn known_parts_ascend_without_overlaps(lines in prop::collection::vec((0_u64..50, 0_u64..9), 0..30)) {
            let parts: Vec<_> = lines
                .iter()
                .enumerate()
                .map(|(index, (offset, length))| part(*offset, *length, &index.to_string()))
                .collect();
            let known = latest(parts.clone());
            let mut end = 0;
            for part in &known {
                prop_assert!(part.range.offset >= end && part.range.length > 0);
                end = part.range.offset + part.range.length;
                let last = parts.iter().rev().find(|other| other.range.offset == part.range.offset);
                prop_assert_eq!(last, Some(part));
            }
        }
    }
}
