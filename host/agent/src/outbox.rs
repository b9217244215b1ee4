//! Results on their way to the control plane: stored before they are sent, and kept until they are
//! answered.
//!
//! `<data>/agent/results/<task>.<fence>.json` holds one; a restarted agent sends what its
//! predecessor could not.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use imprint_agent_protocol::{ControlPlane, Finish, HeldLease, ProtocolError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::{durable, settings::Folders};

const VERSION: u32 = 1;
/// Results that wait at once: far above what the bound on work lets come together.
const MAX_WAITING: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    finish: Finish,
}

/// The stored results.
pub(crate) struct Outbox {
    folder: PathBuf,
    added: Notify,
}

/// What became of a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing is left.
    All,
    /// The control plane does not answer; try again later.
    Unavailable,
    /// Register first.
    NotRegistered,
}

impl Outbox {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folder: folders.results(), added: Notify::new() }
    }

    fn path(&self, lease: HeldLease) -> PathBuf {
        self.folder.join(format!("{}.{}.json", lease.task_id, lease.fence))
    }

    /// Whether the result of that piece of work is stored.
    pub(crate) fn holds(&self, lease: HeldLease) -> bool {
        self.path(lease).exists()
    }

    /// Stores a result durably. Blocks.
    pub(crate) fn store(&self, finish: Finish) -> io::Result<()> {
        let path = self.path(finish.lease);
        let bytes = serde_json::to_vec(&Stored { version: VERSION, finish }).map_err(io::Error::other)?;
        durable::write(&path, &bytes)?;
        self.added.notify_one();
        Ok(())
    }

    /// Waits until a result is added.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Leases of results that are not answered yet: they are kept alive. Blocks.
    pub(crate) fn leases(&self) -> Vec<HeldLease> {
        self.waiting().into_iter().filter_map(|path| read(&path)).map(|finish| finish.lease).collect()
    }

    fn waiting(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut paths: Vec<_> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .take(MAX_WAITING)
            .collect();
        paths.sort_unstable();
        paths
    }

    /// Sends every stored result once, and drops those that were answered.
    pub(crate) async fn send(&self, control: &dyn ControlPlane) -> Sent {
        for path in self.waiting() {
            let Some(finish) = read(&path) else { continue };
            let task = finish.lease.task_id;
            match control.finish(finish).await {
                Ok(()) => info!(%task, "result reported"),
                // Nothing is undone here: what is published under the image's key is overwritten by
                // the next attempt or removed with the image, and it may well be that an earlier
                // copy of this very report was taken.
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
            if let Err(error) = durable::remove_file(&path) {
                error!(%task, %error, "cannot remove a reported result; it is sent again");
            }
        }
        Sent::All
    }
}

/// A result that cannot be read is set aside: it must not stop the others.
fn read(path: &Path) -> Option<Finish> {
    let parsed = fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| {
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if stored.version == VERSION { Ok(stored.finish) } else { Err(format!("version {}", stored.version)) }
    });
    match parsed {
        Ok(finish) => Some(finish),
        // Taken away between listing and reading: it was answered.
        Err(_) if !path.exists() => None,
        Err(problem) => {
            error!(path = %path.display(), problem, "cannot read a stored result; set aside");
            fs::rename(path, path.with_extension("unreadable")).ok();
            None
        }
    }
}
