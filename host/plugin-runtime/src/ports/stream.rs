//! Bytes that only a storage's plugin can move, as a source and a sink of the data path.
//!
//! The threads of the data path call the plugin themselves and wait: at most two of them at a time,
//! each with an instance of its own, at most 1 MiB a call. An instance that trapped or was
//! interrupted is thrown away.

mod pool;
mod sink;
mod source;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, PartLog, PortError, RemoteObject, RemoteUpload};
use tokio_util::sync::CancellationToken;

pub(super) use self::pool::StreamTarget;
use self::{pool::SessionPool, sink::GuestSink, source::GuestSource};
use super::storage_context::StorageContext;

/// An object or an upload whose bytes go through the plugin. Nothing is open yet.
pub(super) struct Stream {
    context: Arc<StorageContext>,
    target: StreamTarget,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({}, {:?})", self.context.plugin.manifest.id, self.target.key())
    }
}

impl Stream {
    pub(super) fn new(context: Arc<StorageContext>, target: StreamTarget) -> Self {
        Self { context, target }
    }

    fn pool(&self, cancel: CancellationToken) -> SessionPool {
        SessionPool::new(self.context.clone(), self.target.clone(), cancel)
    }

    fn log(&self, operation: &str) {
        let plugin = &self.context.plugin.manifest.id;
        tracing::info!(
            plugin,
            path = "guest",
            key = self.target.key(),
            "{operation} goes through the plugin"
        );
    }
}

#[async_trait]
impl RemoteObject for Stream {
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let source = GuestSource::open(self.pool(cancel)).await?;
        self.log("reading");
        Ok(Arc::new(source))
    }
}

#[async_trait]
impl RemoteUpload for Stream {
    async fn open(
        &self,
        cancel: CancellationToken,
        _: Option<Arc<dyn PartLog>>,
    ) -> Result<Arc<dyn BlockSink>, PortError> {
        let sink = GuestSink::open(self.pool(cancel)).await?;
        self.log("writing");
        Ok(Arc::new(sink))
    }
}
