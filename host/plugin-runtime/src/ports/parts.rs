//! Uploads in parts: the plugin describes how a part is sent, the host cuts, hashes, signs, sends
//! and repeats.
//!
//! The data path writes at any offset, mostly in ascending order. Parts are filled in memory, and
//! each is sent once all of its bytes are there. One that stays incomplete while many others are
//! begun waits in a file without a name.

mod describe;
mod filled;
mod known;
mod plan;
mod sender;
mod sink;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use imprint_ports::{BlockSink, PartLog, PortError, RemoteUpload};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::{known::Known, plan::Plan, sender::Sender, sink::PartSink};
use super::upload::OpenUpload;
use crate::bindings::storage::exports::imprint::storage::backend;

/// An upload in parts. Nothing is sent yet.
pub(super) struct PartsUpload {
    upload: Arc<OpenUpload>,
    plan: Plan,
}

impl fmt::Debug for PartsUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartsUpload({}, {:?})", self.upload.context.plugin.manifest.id, self.upload.key)
    }
}

impl PartsUpload {
    pub(super) fn new(upload: Arc<OpenUpload>, parts: &backend::Multipart) -> Result<Self, PortError> {
        Ok(Self { upload, plan: Plan::parse(parts)? })
    }
}

#[async_trait]
impl RemoteUpload for PartsUpload {
    async fn open(
        &self,
        cancel: CancellationToken,
        parts: Option<Arc<dyn PartLog>>,
    ) -> Result<Arc<dyn BlockSink>, PortError> {
        let known = Known::of(parts, self.plan.part_size);
        tracing::debug!(
            key = self.upload.key,
            path = "http",
            plan = ?self.plan,
            known = known.ranges().count(),
            "an upload is sent in parts"
        );
        let sender = Sender::new(self.upload.clone(), self.plan, known, Handle::current(), cancel);
        Ok(Arc::new(PartSink::start(Box::new(sender), self.plan)?))
    }
}
