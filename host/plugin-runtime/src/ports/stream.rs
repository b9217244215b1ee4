//! Bytes that only a storage's plugin can move, as a source and a sink of the engine.
//!
//! The engine's threads call the plugin themselves and wait: at most [`LANES`] of them at a time,
//! each with an instance of its own, at most [`MAX_CALL`] bytes a call. An instance that trapped or
//! was interrupted is thrown away.

mod sink;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, ErrorClass, GuestObject, GuestUpload, Origin, PortError};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceAny;

use self::sink::GuestSink;
use super::{props_out, storage::Shared};
use crate::{
    bindings::stream::Streaming,
    log::clip,
    work::{Work, call},
};

/// Longest read or write of one call.
const MAX_CALL: usize = 1 << 20;
/// Instances that one stream uses at a time.
const LANES: usize = 2;
/// How often a call is made whose plugin says that it may succeed later.
const ATTEMPTS: u32 = 4;
/// What is waited before the second time, unless the plugin says how long; then twice that.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest wait that a plugin may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What a stream is of.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Opening {
    /// The bytes of an object.
    Object {
        /// Its key.
        key: String,
    },
    /// The bytes of an upload.
    Upload {
        /// For messages.
        key: String,
        /// What a writer is opened by.
        token: Vec<u8>,
    },
}

impl Opening {
    fn key(&self) -> &str {
        match self {
            Self::Object { key } | Self::Upload { key, .. } => key,
        }
    }
}

/// An object or an upload whose bytes go through the plugin; nothing is open yet.
pub(super) struct Stream {
    shared: Arc<Shared>,
    opening: Opening,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({}, {:?})", self.shared.plugin.manifest.id, self.opening.key())
    }
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, opening: Opening) -> Self {
        Self { shared, opening }
    }

    fn lanes(&self, cancel: CancellationToken) -> Lanes {
        Lanes {
            shared: self.shared.clone(),
            opening: self.opening.clone(),
            runtime: Handle::current(),
            cancel,
            slots: Semaphore::new(LANES),
            open: AtomicU32::new(0),
            idle: Mutex::default(),
        }
    }

    fn log(&self, what: &str) {
        let plugin = &self.shared.plugin.manifest.id;
        tracing::info!(plugin, path = "guest", key = self.opening.key(), "{what} goes through the plugin");
    }
}

#[async_trait]
impl GuestObject for Stream {
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let version = Version::of(&self.shared, self.opening.key()).await?;
        let source = GuestSource { lanes: self.lanes(cancel), version };
        // The first reader shows whether there is anything to read.
        let mut lane = source.lanes.begin().await?;
        source.check(&mut lane)?;
        source.lanes.keep(lane);
        self.log("reading");
        Ok(Arc::new(source))
    }
}

#[async_trait]
impl GuestUpload for Stream {
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSink>, PortError> {
        let lanes = self.lanes(cancel);
        let mut lane = lanes.begin().await?;
        let Lane { work, bindings, handle, .. } = &mut lane;
        let writers = bindings.imprint_storage_stream_io().writer();
        let order = call!(work, "order", |store| writers.call_order(store, *handle))?;
        lanes.keep(lane);
        self.log("writing");
        Ok(Arc::new(GuestSink::new(lanes, order)))
    }
}

/// What an object is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    etag: Option<String>,
    modified_ms: Option<u64>,
}

impl Version {
    async fn of(shared: &Shared, key: &str) -> Result<Self, PortError> {
        let found = shared.stat(key).await?;
        if found.key != key {
            let message = format!("asked for object {key:?}, it answered with {:?}", clip(&found.key, 100));
            return Err(PortError::bad_answer("plugin.bad-answer.key", message));
        }
        Ok(Self { size: found.size, etag: found.etag, modified_ms: found.modified_ms })
    }
}

/// An instance with a reader or a writer.
struct Lane {
    work: Work,
    bindings: Streaming,
    handle: ResourceAny,
    /// Of a reader's object.
    size: u64,
}

/// The instances of one stream.
struct Lanes {
    shared: Arc<Shared>,
    opening: Opening,
    runtime: Handle,
    cancel: CancellationToken,
    /// One for each instance that may be at work.
    slots: Semaphore,
    open: AtomicU32,
    idle: Mutex<Vec<Lane>>,
}

impl Lanes {
    /// The first instance.
    async fn begin(&self) -> Result<Lane, PortError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PortError::cancelled()),
            lane = self.start() => lane,
        }
    }

    /// Takes the first instance up.
    fn keep(&self, lane: Lane) {
        self.open.fetch_add(1, SeqCst);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Calls the plugin from a thread of the engine, which waits. Ends early when the job is
    /// cancelled.
    fn wait<T>(&self, act: impl AsyncFnMut(&mut Lane) -> Result<T, PortError>) -> Result<T, PortError> {
        self.runtime.block_on(self.call(act))
    }

    /// Calls the plugin in an instance that is free.
    async fn call<T>(
        &self,
        mut act: impl AsyncFnMut(&mut Lane) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let calling = async {
            let (slot, mut lane) = self.lane().await?;
            let answer = act(&mut lane).await;
            if lane.work.is_over() {
                self.open.fetch_sub(1, SeqCst);
                drop(lane);
            } else {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
            }
            drop(slot);
            answer
        };
        // A call that is cut off takes its instance with it.
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PortError::cancelled()),
            answer = calling => answer,
        }
    }

    async fn lane(&self) -> Result<(SemaphorePermit<'_>, Lane), PortError> {
        loop {
            let slot = self.slots.acquire().await.expect("the semaphore is never closed");
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(lane) = idle {
                return Ok((slot, lane));
            }
            let first = self.open.fetch_add(1, SeqCst) == 0;
            // A second instance for one job must not be the last one that others wait for.
            if !first && self.shared.plugin.permits.available_permits() < 2 {
                self.open.fetch_sub(1, SeqCst);
                slot.forget();
                continue;
            }
            let lane = self.start().await.inspect_err(|_| {
                self.open.fetch_sub(1, SeqCst);
            })?;
            return Ok((slot, lane));
        }
    }

    async fn start(&self) -> Result<Lane, PortError> {
        let pre = self.shared.stream.as_ref().expect("streams are made for plugins that export stream-io");
        let mut work = self.shared.work().await?;
        let bindings = call!(work, "start", |store| pre.instantiate_async(store))?;
        let settings = props_out(&self.shared.settings);
        let io = bindings.imprint_storage_stream_io();
        let (handle, size) = match &self.opening {
            Opening::Object { key } => {
                let readers = io.reader();
                let opened = call!(work, "open-reader", |store| readers.call_open(store, &settings, key))?;
                let handle = opened.map_err(|error| self.named("open", self.shared.said(error)))?;
                (handle, call!(work, "size", |store| readers.call_size(store, handle))?)
            }
            Opening::Upload { token, .. } => {
                let writers = io.writer();
                let opened = call!(work, "open-writer", |store| writers.call_open(store, &settings, token))?;
                (opened.map_err(|error| self.named("open the upload", self.shared.said(error)))?, 0)
            }
        };
        Ok(Lane { work, bindings, handle, size })
    }

    /// Gives back the instances that nobody uses.
    fn rest(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        self.open.fetch_sub(u32::try_from(idle.len()).expect("there are two at most"), SeqCst);
    }

    /// A plugin's own error, with its name and what it was doing.
    fn named(&self, doing: &str, error: PortError) -> PortError {
        let (id, key) = (&self.shared.plugin.manifest.id, self.opening.key());
        PortError { message: format!("plugin {id} cannot {doing} {key:?}: {}", error.message), ..error }
    }

    fn bad(&self, code: &str, what: &str) -> PortError {
        let (id, key) = (&self.shared.plugin.manifest.id, self.opening.key());
        let message =
            format!("plugin {id} {what} of {key:?}; check its storage, or use another version of it");
        PortError::bad_answer(code, message)
    }

    /// Waits before a call is made again; `Err` where that makes no sense.
    fn pause(&self, attempt: u32, error: PortError) -> Result<(), PortError> {
        let pause = match error.origin {
            // A trap took the instance. One more try shows whether it was the instance or the
            // bytes.
            Origin::Trap if error.code == "plugin.trap" && attempt == 1 => Duration::ZERO,
            Origin::Plugin if error.class == ErrorClass::Transient && attempt < ATTEMPTS => {
                let asked = error.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                asked.unwrap_or(PAUSE * (1 << (attempt - 1))).min(MAX_PAUSE)
            }
            Origin::Trap
            | Origin::Plugin
            | Origin::Timeout
            | Origin::Denied
            | Origin::BadAnswer
            | Origin::Host => return Err(error),
        };
        tracing::debug!(%error, attempt, "a call is made again");
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(PortError::cancelled()),
                () = tokio::time::sleep(pause) => Ok(()),
            }
        })
    }

    /// Makes a call whose repetition does no harm.
    fn retry<T>(&self, mut call: impl FnMut() -> Result<T, PortError>) -> Result<T, PortError> {
        let mut attempt = 1;
        loop {
            match call() {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(attempt, error)?,
            }
            attempt += 1;
        }
    }
}

/// An object of a storage that streams.
struct GuestSource {
    lanes: Lanes,
    version: Version,
}

impl GuestSource {
    /// Every reader reads the same object.
    fn check(&self, lane: &mut Lane) -> Result<(), PortError> {
        if lane.size == self.version.size {
            return Ok(());
        }
        let what = format!("has {} bytes, and there were {} a moment ago", lane.size, self.version.size);
        let error = PortError::host(
            ErrorClass::Conflict,
            "conflict.source-changed",
            format!("{:?} {what}; start again when nobody replaces it", self.lanes.opening.key()),
        );
        lane.work.end(&error);
        Err(error)
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), PortError> {
        let length = u32::try_from(buf.len()).expect("a call has at most 1 MiB");
        let bytes = self.lanes.wait(async |lane| {
            self.check(lane)?;
            let Lane { work, bindings, handle, .. } = lane;
            let readers = bindings.imprint_storage_stream_io().reader();
            let answer = call!(work, "read", |store| readers.call_read(store, *handle, offset, length))?;
            let doing = || format!("read {length} bytes at {offset} of");
            let bytes = answer.map_err(|error| self.lanes.named(&doing(), self.lanes.shared.said(error)))?;
            self.lanes.shared.plugin.counters.received(bytes.len());
            if bytes.len() != buf.len() {
                let what = format!("answered with {} bytes instead of {length} at {offset}", bytes.len());
                let error = self.lanes.bad("plugin.bad-answer.length", &what);
                work.end(&error);
                return Err(error);
            }
            Ok(bytes)
        })?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }
}

impl BlockSource for GuestSource {
    fn size(&self) -> u64 {
        self.version.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.version.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        for piece in buf.chunks_mut(MAX_CALL) {
            self.lanes.retry(|| self.read(piece, at))?;
            at += u64::try_from(piece.len()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn preferred_read(&self) -> u64 {
        u64::try_from(MAX_CALL).unwrap_or(0)
    }

    fn unchanged(&self) -> io::Result<bool> {
        // The plugin may have no instance more than those that are open here.
        self.lanes.rest();
        let now = self.lanes.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.lanes.cancel.cancelled() => Err(PortError::cancelled()),
                now = Version::of(&self.lanes.shared, self.lanes.opening.key()) => now,
            }
        });
        match now {
            Ok(now) => Ok(now == self.version),
            Err(gone) if gone.class == ErrorClass::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
