//! Files that clients upload: what is there of them, while they arrive and after a crash.
//!
//! `<data>/agent/uploads/<task>.file` takes the bytes, at their places and in any order;
//! `<task>.received` says in JSON lines which ranges of it are durable. Its room is allocated
//! before the first byte. Both outlive the attempt that wrote them, where another one may follow,
//! so that a client sends at most what was not durable again.

mod ranges;

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use imprint_agent_protocol::{MAX_MISSING, UploadState};
use imprint_domain::id::TaskId;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use self::ranges::Ranges;
use crate::{durable, sync::lock};

/// The version of the log's format.
const VERSION: u32 = 1;
/// The extensions of the two files.
const FILE: &str = "file";
const LOG: &str = "received";
/// The bytes after which what has arrived is made durable.
const STEP: u64 = 16 << 20;
/// How long a file waits for another attempt of its task.
pub(crate) const KEPT: Duration = Duration::from_secs(8 * 24 * 60 * 60);

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    size: u64,
}

/// Why bytes are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// They lie outside of the file.
    #[error("the file has {size} bytes, and this part ends at {end}")]
    Outside { size: u64, end: u64 },
    /// Another request continues the upload.
    #[error("another request continues the upload")]
    Superseded,
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// A file that arrives.
pub(crate) struct Received {
    size: u64,
    part_size: u64,
    file: File,
    state: Mutex<State>,
    /// Counts the requests that continue the upload in order; only the last one writes.
    turn: AtomicU64,
    changed: watch::Sender<u64>,
}

struct State {
    /// What was written.
    written: Ranges,
    /// What is durable, as the log says.
    durable: Ranges,
    log: File,
    last: Instant,
}

impl Received {
    /// Opens the file of a task, with what an earlier attempt has received; a file of another size
    /// is removed first. The room for all of it is allocated when this returns. Blocks.
    pub(crate) fn open(folder: &Path, task: TaskId, size: u64, part_size: u64) -> io::Result<Self> {
        let (path, log_path) = (path_of(folder, task, FILE), path_of(folder, task, LOG));
        let durable = match known(&log_path, size)? {
            Some(ranges) if path.exists() => ranges,
            Some(_) | None => {
                remove(folder, task)?;
                let mut line = serde_json::to_vec(&Header { version: VERSION, size })?;
                line.push(b'\n');
                durable::write(&log_path, &line)?;
                Ranges::default()
            }
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len(size)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            // A file system that cannot promise the room.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => {
                remove(folder, task)?;
                return Err(error.into());
            }
        }
        let log = OpenOptions::new().append(true).open(&log_path)?;
        let received = durable.total();
        let state = State { written: durable.clone(), durable, log, last: Instant::now() };
        Ok(Self {
            size,
            part_size,
            file,
            state: Mutex::new(state),
            turn: AtomicU64::new(0),
            changed: watch::Sender::new(received),
        })
    }

    /// Returns what is there.
    pub(crate) fn state(&self) -> UploadState {
        let state = lock(&self.state);
        let mut missing = Vec::new();
        let (mut number, mut at) = (1_u32, 0);
        while at < self.size && missing.len() < MAX_MISSING {
            let end = at.saturating_add(self.part_size).min(self.size);
            if !state.written.covers(at, end) {
                missing.push(number);
            }
            (number, at) = (number.saturating_add(1), end);
        }
        UploadState {
            size: self.size,
            offset: state.written.whole_from_start(),
            received: state.written.total(),
            part_size: self.part_size,
            missing,
        }
    }

    /// Begins a request that continues in order; the one before does not write any more.
    pub(crate) fn take_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Returns the place of a part, by its number from 1; `None` where there is none.
    pub(crate) fn part(&self, number: u32) -> Option<(u64, u64)> {
        let start = u64::from(number.checked_sub(1)?).checked_mul(self.part_size)?;
        let end = start.saturating_add(self.part_size).min(self.size);
        (start < end).then_some((start, end))
    }

    /// Takes bytes. With a turn, only while it is the last one. Blocks.
    pub(crate) fn write(&self, at: u64, bytes: &[u8], turn: Option<u64>) -> Result<(), NotTaken> {
        let length = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        let end = at.saturating_add(length);
        if end > self.size {
            return Err(NotTaken::Outside { size: self.size, end });
        }
        if turn.is_some_and(|turn| turn != self.turn.load(Ordering::SeqCst)) {
            return Err(NotTaken::Superseded);
        }
        self.file.write_all_at(bytes, at)?;
        let due = {
            let mut state = lock(&self.state);
            state.written.insert(at, end);
            state.last = Instant::now();
            state.written.total() - state.durable.total() >= STEP
        };
        if due {
            self.sync()?;
        }
        let received = lock(&self.state).written.total();
        self.changed.send_replace(received);
        Ok(())
    }

    /// Makes everything durable that has arrived, and writes it down. Blocks.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let written = lock(&self.state).written.clone();
        self.file.sync_data()?;
        let mut state = lock(&self.state);
        let new: Vec<_> = written.iter().filter(|(from, to)| !state.durable.covers(*from, *to)).collect();
        let mut lines = Vec::new();
        for (from, to) in new {
            lines.extend(serde_json::to_vec(&(from, to))?);
            lines.push(b'\n');
            state.durable.insert(from, to);
        }
        // A line that a crash loses costs nothing but the bytes, so that it is not synced.
        state.log.write_all(&lines)
    }

    /// Returns how many bytes are durable.
    pub(crate) fn durable(&self) -> u64 {
        lock(&self.state).durable.total()
    }

    /// Waits until every byte is there; `false` when none came for that long.
    pub(crate) async fn complete(&self, idle: Duration, arrived: impl Fn(u64)) -> bool {
        let mut changed = self.changed.subscribe();
        loop {
            let received = *changed.borrow_and_update();
            arrived(received);
            if received >= self.size {
                return true;
            }
            let until = lock(&self.state).last + idle;
            match tokio::time::timeout_at(until, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return false,
                Err(_) if lock(&self.state).last + idle <= Instant::now() => return false,
                Err(_) => {}
            }
        }
    }
}

/// The uploads that jobs of this agent receive at the moment.
#[derive(Default)]
pub(crate) struct Receivers(Mutex<HashMap<TaskId, Arc<Received>>>);

impl Receivers {
    /// Offers a file to clients until the guard is dropped.
    pub(crate) fn offer(self: &Arc<Self>, task: TaskId, file: Arc<Received>) -> Offered {
        lock(&self.0).insert(task, file);
        Offered { receivers: self.clone(), task }
    }

    pub(crate) fn find(&self, task: TaskId) -> Option<Arc<Received>> {
        lock(&self.0).get(&task).cloned()
    }
}

/// An upload that clients can send to.
pub(crate) struct Offered {
    receivers: Arc<Receivers>,
    task: TaskId,
}

impl Drop for Offered {
    fn drop(&mut self) {
        lock(&self.receivers.0).remove(&self.task);
    }
}

/// Returns the path of a task's file.
pub(crate) fn file_of(folder: &Path, task: TaskId) -> PathBuf {
    path_of(folder, task, FILE)
}

/// Returns how many bytes of a task's file are durable; 0 without one. Blocks.
pub(crate) fn durable_bytes(folder: &Path, task: TaskId) -> u64 {
    let path = path_of(folder, task, LOG);
    let size = read_log(&path).ok().flatten().map_or(0, |(header, _)| header.size);
    known(&path, size).ok().flatten().map_or(0, |ranges| ranges.total())
}

/// Removes what a task has received. Blocks.
pub(crate) fn remove(folder: &Path, task: TaskId) -> io::Result<()> {
    durable::remove_file(&path_of(folder, task, FILE))?;
    durable::remove_file(&path_of(folder, task, LOG))
}

/// Removes what no attempt has used for that long. Blocks.
pub(crate) fn remove_unused(folder: &Path, for_longer_than: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let ours = path.extension().is_some_and(|extension| extension == FILE || extension == LOG);
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if ours
            && age.is_some_and(|age| age > for_longer_than)
            && let Err(error) = durable::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file that was uploaded");
        }
    }
}

fn path_of(folder: &Path, task: TaskId, extension: &str) -> PathBuf {
    folder.join(format!("{task}.{extension}"))
}

type Lines = (Header, Vec<(u64, u64)>);

/// Reads a log; `None` where there is none, or none that can be read.
fn read_log(path: &Path) -> io::Result<Option<Lines>> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A crash may have cut off the last line.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
    let header = lines.next().and_then(|line| serde_json::from_slice::<Header>(line).ok());
    let Some(header) = header.filter(|header| header.version == VERSION) else { return Ok(None) };
    let ranges = lines.filter(|line| !line.is_empty()).map_while(|line| serde_json::from_slice(line).ok());
    Ok(Some((header, ranges.collect())))
}

/// Returns what a log says is durable of a file of that size.
fn known(path: &Path, size: u64) -> io::Result<Option<Ranges>> {
    let Some((header, lines)) = read_log(path)?.filter(|(header, _)| header.size == size) else {
        return Ok(None);
    };
    let mut ranges = Ranges::default();
    for (from, to) in lines {
        if from < to && to <= header.size {
            ranges.insert(from, to);
        }
    }
    Ok(Some(ranges))
}

#[cfg(test)]
mod tests;
