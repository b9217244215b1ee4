//! The instances of one stream: at most two, each with a reader or a writer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use imprint_http_client::Backoff;
use imprint_ports::{ErrorClass, Origin, PortError};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceAny;

use crate::{
    bindings::stream::Streaming,
    codes::Code,
    instance::{PluginInstance, call},
    ports::{bounds::props_to_plugin, storage_context::StorageContext},
    sync,
};

/// The longest read or write of one call, in bytes.
pub(super) const MAX_CALL: usize = 1 << 20;
/// The instances that one stream uses at the same time.
const MAX_SESSIONS: usize = 2;
/// How often a call is made when the plugin reports that it may succeed later.
const MAX_ATTEMPTS: u32 = 4;

/// The object or the upload that a stream reads or writes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StreamTarget {
    /// The bytes of an object.
    Object {
        /// The object's key.
        key: String,
    },
    /// The bytes of an upload.
    Upload {
        /// The key of the future object, for messages.
        key: String,
        /// The token by which a writer is opened.
        token: Vec<u8>,
    },
}

impl StreamTarget {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Object { key } | Self::Upload { key, .. } => key,
        }
    }
}

/// An instance with a reader or a writer.
pub(super) struct StreamSession {
    pub(super) instance: PluginInstance,
    pub(super) bindings: Streaming,
    pub(super) handle: ResourceAny,
    /// The size of a reader's object in bytes; 0 for a writer.
    pub(super) size: u64,
}

/// The instances of one stream.
pub(super) struct SessionPool {
    pub(super) context: Arc<StorageContext>,
    pub(super) target: StreamTarget,
    runtime: Handle,
    cancel: CancellationToken,
    /// One permit for each instance that may be used.
    slots: Semaphore,
    open: AtomicU32,
    idle: Mutex<Vec<StreamSession>>,
}

impl SessionPool {
    pub(super) fn new(context: Arc<StorageContext>, target: StreamTarget, cancel: CancellationToken) -> Self {
        Self {
            context,
            target,
            runtime: Handle::current(),
            cancel,
            slots: Semaphore::new(MAX_SESSIONS),
            open: AtomicU32::new(0),
            idle: Mutex::default(),
        }
    }

    /// Starts the first instance.
    pub(super) async fn start_first(&self) -> Result<StreamSession, PortError> {
        self.unless_cancelled(self.start()).await
    }

    /// Adds the first instance to the pool.
    pub(super) fn add(&self, session: StreamSession) {
        self.open.fetch_add(1, SeqCst);
        sync::lock(&self.idle).push(session);
    }

    /// Calls the plugin from a thread of the data path, which waits. Ends early when the transfer
    /// is cancelled.
    pub(super) fn call_blocking<T>(
        &self,
        operation: impl AsyncFnMut(&mut StreamSession) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        self.block_on(self.call(operation))
    }

    /// Calls the plugin in every instance that is open, one after the other; in a new one where
    /// there is none. No other call may be under way.
    pub(super) fn call_each_blocking(
        &self,
        mut operation: impl AsyncFnMut(&mut StreamSession) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let open = std::mem::take(&mut *sync::lock(&self.idle));
        if open.is_empty() {
            return self.call_blocking(operation);
        }
        self.block_on(async {
            let mut outcome = Ok(());
            for mut session in open {
                if outcome.is_ok() {
                    outcome = operation(&mut session).await;
                }
                if session.instance.is_closed() {
                    self.open.fetch_sub(1, SeqCst);
                } else {
                    sync::lock(&self.idle).push(session);
                }
            }
            outcome
        })
    }

    /// Waits for a future on a thread of the data path. Ends early when the transfer is cancelled.
    pub(super) fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        self.runtime.block_on(self.unless_cancelled(future))
    }

    async fn unless_cancelled<T>(
        &self,
        future: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PortError::cancelled()),
            result = future => result,
        }
    }

    /// Calls the plugin in a free instance. A call that is cancelled drops its instance.
    async fn call<T>(
        &self,
        mut operation: impl AsyncFnMut(&mut StreamSession) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let (slot, mut session) = self.acquire().await?;
        let answer = operation(&mut session).await;
        if session.instance.is_closed() {
            self.open.fetch_sub(1, SeqCst);
            drop(session);
        } else {
            sync::lock(&self.idle).push(session);
        }
        drop(slot);
        answer
    }

    async fn acquire(&self) -> Result<(SemaphorePermit<'_>, StreamSession), PortError> {
        loop {
            let slot = self.slots.acquire().await.expect("the semaphore is never closed");
            let idle = sync::lock(&self.idle).pop();
            if let Some(session) = idle {
                return Ok((slot, session));
            }
            let first = self.open.fetch_add(1, SeqCst) == 0;
            // The second instance of one transfer must not be the last one that others wait for.
            if !first && self.context.plugin.permits.available_permits() < 2 {
                self.open.fetch_sub(1, SeqCst);
                slot.forget();
                continue;
            }
            let session = self.start().await.inspect_err(|_| {
                self.open.fetch_sub(1, SeqCst);
            })?;
            return Ok((slot, session));
        }
    }

    async fn start(&self) -> Result<StreamSession, PortError> {
        let stream = self.context.stream.as_ref();
        let stream = stream.expect("streams are created for plugins that export stream-io");
        let mut instance = self.context.start().await?;
        let bindings = call!(instance, "start", |store| stream.instantiate_async(store))?;
        let settings = props_to_plugin(&self.context.settings);
        let io = bindings.imprint_storage_stream_io();
        let (handle, size) = match &self.target {
            StreamTarget::Object { key } => {
                let readers = io.reader();
                let opened =
                    call!(instance, "open-reader", |store| readers.call_open(store, &settings, key))?;
                let handle =
                    opened.map_err(|error| self.operation_failed("open", self.context.port_error(&error)))?;
                (handle, call!(instance, "size", |store| readers.call_size(store, handle))?)
            }
            StreamTarget::Upload { token, .. } => {
                let writers = io.writer();
                let opened =
                    call!(instance, "open-writer", |store| writers.call_open(store, &settings, token))?;
                let failed =
                    |error| self.operation_failed("open the upload", self.context.port_error(&error));
                (opened.map_err(failed)?, 0)
            }
        };
        Ok(StreamSession { instance, bindings, handle, size })
    }

    /// Drops the instances that are not in use.
    pub(super) fn drop_idle(&self) {
        let idle = std::mem::take(&mut *sync::lock(&self.idle));
        self.open.fetch_sub(u32::try_from(idle.len()).expect("there are two at most"), SeqCst);
    }

    /// Adds the plugin's id and the failed operation to a plugin's own error.
    pub(super) fn operation_failed(&self, operation: &str, error: PortError) -> PortError {
        let (id, key) = (&self.context.plugin.manifest.id, self.target.key());
        PortError { message: format!("plugin {id} cannot {operation} {key:?}: {}", error.message), ..error }
    }

    /// Returns the error for an answer that breaks the contract.
    pub(super) fn bad_answer(&self, code: Code, what: &str) -> PortError {
        let (id, key) = (&self.context.plugin.manifest.id, self.target.key());
        code.error(format!("plugin {id} {what} of {key:?}; check its storage, or use another version of it"))
    }

    /// Repeats a call whose repetition does no harm.
    pub(super) fn retry<T>(&self, mut call: impl FnMut() -> Result<T, PortError>) -> Result<T, PortError> {
        let mut backoff = Backoff::new(MAX_ATTEMPTS);
        let mut is_first = true;
        loop {
            let error = match call() {
                Err(error) => error,
                answer => return answer,
            };
            let pause = match error.origin {
                // The trap ended the instance. One more attempt shows whether it was the instance
                // or the bytes.
                Origin::Trap if error.code == Code::Trap.as_str() && is_first => Some(Duration::ZERO),
                Origin::Plugin if error.class == ErrorClass::Transient => {
                    backoff.pause(error.retry_after_ms.map(|ms| Duration::from_millis(ms.into())))
                }
                Origin::Trap
                | Origin::Plugin
                | Origin::Timeout
                | Origin::Denied
                | Origin::BadAnswer
                | Origin::Host => None,
            };
            let Some(pause) = pause else { return Err(error) };
            is_first = false;
            tracing::debug!(%error, "a call is repeated");
            self.block_on(async {
                tokio::time::sleep(pause).await;
                Ok(())
            })?;
        }
    }
}
