//! Conversations that plugins hold through the host: a filter on every command, and watchdogs
//! behind the risky ones.

mod connection;
mod filter;
mod guard;
mod host;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use imprint_ports::SharedJournal;
use tokio_util::task::TaskTracker;

use self::guard::Fired;
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub use self::host::ChannelHandle;
pub(crate) use self::{filter::is_forbidden_pattern, guard::undo_message};
use crate::manifest::ChannelCapability;

/// Longest message, and longest line of a peer.
const MAX_LINE: usize = 4 << 20;
/// Open channels of one piece of work.
const MAX_CHANNELS: usize = 8;
/// Endpoints of one piece of work.
const MAX_ENDPOINTS: usize = 4;
/// What `sun_path` holds, without its end.
const MAX_SOCKET_PATH: usize = 107;

/// What one piece of work may do on channels.
#[derive(Clone)]
pub(crate) struct ChannelWork {
    pub(crate) granted: Arc<BTreeMap<String, ChannelGrant>>,
    pub(crate) endpoint_ids: Arc<std::collections::BTreeSet<String>>,
    /// The instance that the call is about: the only one whose channels open.
    pub(crate) vm_id: String,
    /// Folder and start of the names of reserved sockets.
    pub(crate) endpoints: PathBuf,
    pub(crate) endpoint_prefix: String,
    pub(crate) shared: Arc<WorkShared>,
    pub(crate) journal: Option<SharedJournal>,
    pub(crate) undos: TaskTracker,
}

/// A channel as the operator granted it.
#[derive(Clone, Debug)]
pub(crate) struct ChannelGrant {
    pub(crate) capability: ChannelCapability,
    /// With `{vm}`.
    pub(crate) template: String,
}

/// What a piece of work handed out and what happened to its guards.
#[derive(Default)]
pub(crate) struct WorkShared {
    state: Mutex<Handed>,
}

#[derive(Default)]
struct Handed {
    /// Paths that commands may name.
    paths: Vec<String>,
    endpoints: BTreeMap<String, PathBuf>,
    fired: Vec<Fired>,
    channels: usize,
}

impl WorkShared {
    /// Lets commands name this path.
    pub(crate) fn hand_out(&self, path: &Path) {
        self.lock().paths.push(path.to_string_lossy().into_owned());
    }

    fn may_name(&self, path: &str) -> bool {
        self.lock().paths.iter().any(|handed| handed == path)
    }

    /// The socket of a reserved endpoint.
    pub(crate) fn endpoint(&self, id: &str) -> Option<PathBuf> {
        self.lock().endpoints.get(id).cloned()
    }

    /// The first guard that the host had to step in for.
    pub(crate) fn fired(&self) -> Option<String> {
        self.lock().fired.first().map(ToString::to_string)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Handed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
