//! The journal: one append-only file for each job, written before every step that must be undone
//! after a crash.
//!
//! `<data>/agent/journal/<task>.<fence>.journal` holds JSON lines. The first is the [`Header`];
//! each other one is a note of the host or of the driver. A note counts once its line feed is on
//! disk (`fdatasync`); a last line without one was cut off by a crash and is dropped. The file
//! exists until the clean-up of its job is complete.
//!
//! Drivers see and write only their own notes: a plugin cannot make recovery remove a file of its
//! choice.

pub(crate) mod fault;
pub(crate) mod steps;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use imprint_agent_protocol::Assignment;
use imprint_domain::id::TaskId;
use imprint_ports::{Journal, JournalNote, Props};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{durable, journal::fault::Fault, sync::lock};

/// The version of the lines' format.
const VERSION: u32 = 1;
/// The extension of a journal's file name, `<task>.<fence>.journal`.
pub(crate) const JOURNAL: &str = "journal";
/// The longest line in bytes, and the largest number of notes: what `imprint:host/journal` promises
/// to drivers, and as much again for the host.
const MAX_LINE: usize = 128 * 1024;
const MAX_NOTES: usize = 2000;

/// The first line: what recovery needs to know besides the notes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    version: u32,
    /// The assignment, with its lease.
    pub(crate) assignment: Assignment,
    /// The driver in use, and its settings from the control plane.
    pub(crate) driver: String,
    pub(crate) driver_settings: BTreeMap<String, String>,
}

impl Header {
    pub(crate) fn new(
        assignment: Assignment,
        driver: String,
        driver_settings: BTreeMap<String, String>,
    ) -> Self {
        Self { version: VERSION, assignment, driver, driver_settings }
    }
}

/// The author of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Author {
    Host,
    Driver,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    by: Author,
    step: String,
    data: Props,
}

/// The reason why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("cannot read the journal {}: {source}; check the disk and the folder's permissions", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the journal {} has no first line, so its job had done nothing yet", path.display())]
    Empty { path: PathBuf },
    #[error("line {line} of the journal {} is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, line: usize, problem: String },
    #[error("the journal {} has version {version}; run the agent version that wrote it once, to recover", path.display())]
    Version { path: PathBuf, version: u32 },
}

/// What a driver's capture holds in the guest, for the watchdogs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuestHold {
    /// Whether the file systems are frozen: between `freezing` and `thawed`.
    pub(crate) frozen: bool,
    /// Whether the processors are stopped: between `stopping` and `resumed`.
    pub(crate) stopped: bool,
}

/// An open journal.
pub(crate) struct FileJournal {
    path: PathBuf,
    header: Header,
    inner: Mutex<Inner>,
    guest_hold: watch::Sender<GuestHold>,
    fault: Fault,
}

struct Inner {
    file: File,
    entries: Vec<Entry>,
}

impl FileJournal {
    /// Creates a journal; its header is durable when this returns.
    pub(crate) fn create(folder: &Path, header: Header, fault: Fault) -> io::Result<Self> {
        let path = Self::path_for(folder, header.assignment.task_id, header.assignment.fence);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(&line(&header)?)?;
        file.sync_all()?;
        durable::sync_parent(&path)?;
        fault.trigger(steps::CLAIMED);
        let inner = Mutex::new(Inner { file, entries: Vec::new() });
        Ok(Self { path, header, inner, guest_hold: watch::Sender::new(GuestHold::default()), fault })
    }

    /// Returns the path of the journal of a job.
    pub(crate) fn path_for(folder: &Path, task: TaskId, fence: u64) -> PathBuf {
        folder.join(format!("{task}.{fence}.{JOURNAL}"))
    }

    /// Opens a journal of an earlier process; cuts off an incomplete last line, so that new notes
    /// can follow.
    pub(crate) fn open(path: &Path, fault: Fault) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        text.truncate(whole);
        let length = u64::try_from(whole).expect("a file's length fits");
        file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(failed)?;
        let (header, entries) = parse(path, &text)?;
        let inner = Mutex::new(Inner { file, entries });
        Ok(Self {
            path: path.to_owned(),
            header,
            inner,
            guest_hold: watch::Sender::new(GuestHold::default()),
            fault,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Appends a note of the host durably.
    pub(crate) fn note<const N: usize>(&self, step: &str, data: [(&str, String); N]) -> io::Result<()> {
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.append(Entry { by: Author::Host, step: step.to_owned(), data })
    }

    /// Returns the data of the host's last note of a step.
    pub(crate) fn last(&self, step: &str) -> Option<Props> {
        let inner = lock(&self.inner);
        let found = inner.entries.iter().rev().find(|entry| entry.by == Author::Host && entry.step == step);
        found.map(|entry| entry.data.clone())
    }

    /// Returns whether the host noted a step after its last note of `start`.
    pub(crate) fn noted_since(&self, step: &str, start: &str) -> bool {
        let inner = lock(&self.inner);
        let of_host = inner.entries.iter().rev().filter(|entry| entry.by == Author::Host);
        of_host.take_while(|entry| entry.step != start).any(|entry| entry.step == step)
    }

    /// Follows what the driver holds in the guest.
    pub(crate) fn guest_hold(&self) -> watch::Receiver<GuestHold> {
        self.guest_hold.subscribe()
    }

    /// Removes the journal, at the end of the clean-up.
    pub(crate) fn remove(&self) -> io::Result<()> {
        durable::remove_file(&self.path)
    }

    fn append(&self, entry: Entry) -> io::Result<()> {
        let text = line(&entry)?;
        let mut inner = lock(&self.inner);
        if inner.entries.len() >= MAX_NOTES {
            return Err(io::Error::other(format!("a journal holds at most {MAX_NOTES} notes")));
        }
        inner.file.write_all(&text)?;
        inner.file.sync_data()?;
        self.fault.trigger(&entry.step);
        if entry.by == Author::Driver {
            self.guest_hold.send_modify(|held| held.follow(&entry.step));
        }
        inner.entries.push(entry);
        Ok(())
    }
}

impl Journal for FileJournal {
    fn record(&self, note: &JournalNote) -> io::Result<()> {
        self.append(Entry { by: Author::Driver, step: note.step.clone(), data: note.data.clone() })
    }

    fn notes(&self) -> Vec<JournalNote> {
        let inner = lock(&self.inner);
        let of_driver = inner.entries.iter().filter(|entry| entry.by == Author::Driver);
        of_driver.map(|entry| JournalNote { step: entry.step.clone(), data: entry.data.clone() }).collect()
    }
}

impl GuestHold {
    fn follow(&mut self, step: &str) {
        match step {
            steps::FREEZING => self.frozen = true,
            steps::THAWED => self.frozen = false,
            steps::STOPPING => self.stopped = true,
            steps::RESUMED => self.stopped = false,
            _ => {}
        }
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(io::Error::other)?;
    if text.len() >= MAX_LINE {
        return Err(io::Error::other(format!("a line of a journal has at most {MAX_LINE} bytes")));
    }
    text.push(b'\n');
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<(Header, Vec<Entry>), JournalError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged = |line: usize, error: serde_json::Error| JournalError::Damaged {
        path: path.to_owned(),
        line,
        problem: error.to_string(),
    };
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first = lines.next().ok_or_else(|| JournalError::Empty { path: path.to_owned() })?;
    let Versioned { version } = serde_json::from_slice(first).map_err(|error| damaged(1, error))?;
    if version != VERSION {
        return Err(JournalError::Version { path: path.to_owned(), version });
    }
    let header = serde_json::from_slice(first).map_err(|error| damaged(1, error))?;
    let entries = lines
        .enumerate()
        .map(|(index, line)| serde_json::from_slice(line).map_err(|error| damaged(index + 2, error)))
        .collect::<Result<_, _>>()?;
    Ok((header, entries))
}
