//! What one call was given so far, and which of its guards fired.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use super::{
    fired::Fired,
    limits::{MAX_CHANNELS, MAX_ENDPOINTS},
};
use crate::sync;

/// What one call was given so far, and which of its guards fired.
#[derive(Default)]
pub(crate) struct CallResources(Mutex<Resources>);

#[derive(Default)]
struct Resources {
    /// Paths that commands may name.
    paths: Vec<String>,
    endpoints: BTreeMap<String, PathBuf>,
    fired: Vec<Fired>,
    channels: usize,
}

impl CallResources {
    /// Lets commands name this path.
    pub(crate) fn allow_path(&self, path: &Path) {
        self.lock().paths.push(path.to_string_lossy().into_owned());
    }

    /// Returns whether commands may name this path.
    pub(super) fn may_name(&self, path: &str) -> bool {
        self.lock().paths.iter().any(|allowed| allowed == path)
    }

    /// Returns the socket of a reserved endpoint.
    pub(crate) fn endpoint(&self, id: &str) -> Option<PathBuf> {
        self.lock().endpoints.get(id).cloned()
    }

    /// Adds an endpoint. Returns `false` when the call already has [`MAX_ENDPOINTS`] others.
    pub(super) fn add_endpoint(&self, id: &str, path: &Path) -> bool {
        let mut resources = self.lock();
        if resources.endpoints.contains_key(id) {
            return true;
        }
        if resources.endpoints.len() >= MAX_ENDPOINTS {
            return false;
        }
        // The socket of a lost capture is in the way of the new one. Usually there is none.
        let _stale = std::fs::remove_file(path);
        resources.paths.push(path.to_string_lossy().into_owned());
        resources.endpoints.insert(id.to_owned(), path.to_owned());
        true
    }

    /// Returns the first guard that fired: the host had to undo its command.
    pub(crate) fn first_fired(&self) -> Option<String> {
        self.lock().fired.first().map(ToString::to_string)
    }

    pub(super) fn add_fired(&self, fired: Fired) {
        self.lock().fired.push(fired);
    }

    /// Returns whether the call may open one more channel.
    pub(super) fn may_open_channel(&self) -> bool {
        self.lock().channels < MAX_CHANNELS
    }

    pub(super) fn channel_opened(&self) {
        self.lock().channels += 1;
    }

    pub(super) fn channel_closed(&self) {
        let mut resources = self.lock();
        resources.channels = resources.channels.saturating_sub(1);
    }

    fn lock(&self) -> MutexGuard<'_, Resources> {
        sync::lock(&self.0)
    }
}
