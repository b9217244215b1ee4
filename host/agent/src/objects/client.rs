//! The reader at the other end of a connection, and what is kept for it between two requests.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use imprint_domain::id::StorageId;
use imprint_ports::BlockSource;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::context::Context;
use crate::{machine::storages::Storage, sync::lock};

/// An object that was opened for a reader.
pub(super) struct Opened {
    pub(super) storage_id: StorageId,
    pub(super) key: String,
    pub(super) storage: Storage,
    pub(super) source: Arc<dyn BlockSource>,
    /// The strong entity tag.
    pub(super) etag: String,
}

/// A reader.
pub(super) struct Client {
    pub(super) context: Arc<Context>,
    peer: IpAddr,
    /// Cancelled when the connection ends: whatever still reads for it stops.
    pub(super) closed: CancellationToken,
    /// The object of the last request: readers ask for range after range.
    opened: Mutex<Option<Arc<Opened>>>,
    refused: AtomicBool,
}

impl Client {
    pub(super) fn new(context: Arc<Context>, peer: IpAddr) -> Self {
        Self {
            context,
            peer,
            closed: CancellationToken::new(),
            opened: Mutex::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// Returns the object of the last request, if it is that one.
    pub(super) fn opened(&self, storage_id: StorageId, key: &str) -> Option<Arc<Opened>> {
        let opened = lock(&self.opened).clone();
        opened.filter(|opened| opened.storage_id == storage_id && opened.key == key)
    }

    pub(super) fn keep(&self, opened: Arc<Opened>) {
        *lock(&self.opened) = Some(opened);
    }

    /// Logs that a request is refused: the first of each connection.
    pub(super) fn log_refusal(&self, code: &str, detail: &str) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            warn!(peer = %self.peer, code, detail, "a request for an object is refused");
        }
    }
}

/// Ends what is done for a reader when its connection ends, also in the middle.
pub(super) struct CloseOnDrop(pub(super) Arc<Client>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.closed.cancel();
        *lock(&self.0.opened) = None;
    }
}
