//! The outbox: outcomes of jobs, stored before they are reported, and kept until the control plane
//! has answered.
//!
//! `<data>/agent/results/<task>.<fence>.json` holds one; a restarted agent sends what the earlier
//! process could not. A result that was answered while its job still has a journal is renamed to
//! `.reported`: recovery must not undo a job of which the control plane knows the result, and the
//! file says so until the journal is gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use imprint_agent_protocol::{ControlPlane, Finish, HeldLease, Outcome, ProtocolError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::{durable, journal::JOURNAL, settings::Folders};

const VERSION: u32 = 1;
/// The largest number of waiting results, far above what the bound on jobs allows.
const MAX_WAITING: usize = 4096;
/// The extension of a result that waits for its answer.
const WAITING: &str = "json";
/// The extension of a result that was answered before its job's journal was removed.
const REPORTED: &str = "reported";

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    finish: Finish,
}

/// The reason why a stored result cannot be read.
#[derive(Debug, thiserror::Error)]
enum OutboxError {
    #[error("cannot read the file: {0}")]
    Read(#[source] io::Error),
    #[error("the file is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("the file has version {0}")]
    Version(u32),
}

/// The stored results.
pub(crate) struct Outbox {
    folder: PathBuf,
    journals: PathBuf,
    added: Notify,
}

/// The outcome of sending all results once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Every result was answered.
    All,
    /// The control plane cannot be reached.
    Unavailable,
    /// The agent must register first.
    NotRegistered,
}

impl Outbox {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folder: folders.results(), journals: folders.journal(), added: Notify::new() }
    }

    fn path(&self, lease: HeldLease, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{}.{extension}", lease.task_id, lease.fence))
    }

    /// Returns whether the job with that lease succeeded, if its result is stored, reported or not.
    /// Blocks.
    pub(crate) fn holds(&self, lease: HeldLease) -> Option<bool> {
        [WAITING, REPORTED].into_iter().find_map(|extension| {
            let path = self.path(lease, extension);
            match parse(&path) {
                Ok(finish) => Some(!matches!(finish.outcome, Outcome::Failed(_) | Outcome::Cancelled)),
                // What the control plane knows about cannot be read: nothing is undone.
                Err(_) => path.exists().then_some(true),
            }
        })
    }

    /// Removes the reported results of jobs that have no journal any more. Blocks.
    pub(crate) fn forget_reported(&self) {
        for path in self.files(REPORTED) {
            let Some(name) = path.file_stem() else { continue };
            let journal = self.journals.join(format!("{}.{JOURNAL}", name.to_string_lossy()));
            if !journal.exists()
                && let Err(error) = durable::remove_file(&path)
            {
                error!(path = %path.display(), %error, "cannot remove a reported result");
            }
        }
    }

    /// Stores a result durably. Blocks.
    pub(crate) fn store(&self, finish: Finish) -> io::Result<()> {
        let path = self.path(finish.lease, WAITING);
        let bytes = serde_json::to_vec(&Stored { version: VERSION, finish }).map_err(io::Error::other)?;
        durable::write(&path, &bytes)?;
        self.added.notify_one();
        Ok(())
    }

    /// Waits until a result is added.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Returns the leases of results that are not answered yet, which heartbeats prolong. Blocks.
    pub(crate) fn leases(&self) -> Vec<HeldLease> {
        self.waiting().into_iter().filter_map(|path| read(&path)).map(|finish| finish.lease).collect()
    }

    fn waiting(&self) -> Vec<PathBuf> {
        let mut paths = self.files(WAITING);
        paths.sort_unstable();
        paths
    }

    fn files(&self, wanted: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == wanted))
            .take(MAX_WAITING)
            .collect()
    }

    /// Sends every stored result once, and drops those that were answered.
    pub(crate) async fn send(&self, control: &dyn ControlPlane) -> Sent {
        self.forget_reported();
        for path in self.waiting() {
            let Some(finish) = read(&path) else { continue };
            let task = finish.lease.task_id;
            match control.finish(finish).await {
                Ok(()) => info!(%task, "result reported"),
                // Nothing is undone here: the next attempt overwrites what is published under the
                // image's key, or it is removed with the image; and an earlier copy of this report
                // may have been accepted.
                Err(ProtocolError::LeaseLost) => warn!(%task, "result dropped: the lease is lost"),
                Err(error @ ProtocolError::Refused { .. }) => error!(%task, %error, "result dropped"),
                Err(ProtocolError::NotRegistered) => return Sent::NotRegistered,
                Err(
                    error @ (ProtocolError::Unavailable { .. }
                    | ProtocolError::Unauthenticated
                    | ProtocolError::Version { .. }),
                ) => {
                    warn!(%task, %error, "result not reported yet");
                    return Sent::Unavailable;
                }
            }
            if let Err(error) = mark_reported(&path) {
                error!(%task, %error, "cannot rename a reported result; it is sent again");
            }
        }
        self.forget_reported();
        Sent::All
    }
}

/// Reads a result. One that cannot be read is renamed, so that it does not stop the others.
fn read(path: &Path) -> Option<Finish> {
    match parse(path) {
        Ok(finish) => Some(finish),
        // It was answered and renamed between listing and reading.
        Err(_) if !path.exists() => None,
        Err(problem) => {
            error!(path = %path.display(), %problem, "cannot read a stored result; it is kept as .unreadable");
            fs::rename(path, path.with_extension("unreadable")).ok();
            None
        }
    }
}

/// Marks a result as reported.
fn mark_reported(path: &Path) -> io::Result<()> {
    let reported = path.with_extension(REPORTED);
    fs::rename(path, &reported)?;
    durable::sync_parent(&reported)
}

fn parse(path: &Path) -> Result<Finish, OutboxError> {
    let bytes = fs::read(path).map_err(OutboxError::Read)?;
    let stored: Stored = serde_json::from_slice(&bytes)?;
    if stored.version == VERSION { Ok(stored.finish) } else { Err(OutboxError::Version(stored.version)) }
}
