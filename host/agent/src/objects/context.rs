//! What the connections of the object server share.

use std::sync::{Arc, Mutex};

use imprint_agent_protocol::{ObjectKey, StorageRef};
use imprint_domain::time::Environment;

use crate::{machine::Machine, sync::lock};

/// What the control plane has said about the objects of this machine; the runtime keeps it current.
#[derive(Debug, Default)]
pub(crate) struct Permitted {
    /// The key of the tokens; `None` before the registration.
    key: Mutex<Option<ObjectKey>>,
    /// The storages that are bound to the hypervisor.
    storages: Mutex<Vec<StorageRef>>,
}

impl Permitted {
    pub(crate) fn set_key(&self, key: Option<ObjectKey>) {
        *lock(&self.key) = key;
    }

    pub(super) fn key(&self) -> Option<ObjectKey> {
        lock(&self.key).clone()
    }

    pub(crate) fn set_storages(&self, storages: Vec<StorageRef>) {
        *lock(&self.storages) = storages;
    }

    /// Returns the image storages to report on and to serve.
    pub(crate) fn storages(&self) -> Vec<StorageRef> {
        lock(&self.storages).clone()
    }
}

/// What connections share.
pub(crate) struct Context {
    pub(crate) machine: Arc<Machine>,
    pub(crate) permitted: Arc<Permitted>,
    pub(crate) environment: Arc<dyn Environment>,
}
