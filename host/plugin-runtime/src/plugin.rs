//! A loaded plugin: its manifest, its code, its counters.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use imprint_ports::{ErrorClass, PortError};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    bindings::{
        format::FormatFullPre, hypervisor::HypervisorPluginPre, storage::StoragePluginPre,
        stream::StreamingPre,
    },
    error::LoadError,
    log::PluginLog,
    manifest::{Kind, Limits, Manifest},
    state::State,
};

/// Where a component came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// Part of the binary.
    Embedded,
    /// A file.
    File(PathBuf),
}

/// What a list of plugins shows.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    /// Unique name.
    pub id: String,
    /// Of the plugin.
    pub version: String,
    /// What it is.
    pub kind: Kind,
    /// The word under which it is found: `qcow2`, `local`, `qemu`.
    pub provides: String,
    /// For people.
    pub summary: String,
    /// SPDX expression.
    pub license: String,
    /// sha256 of the component, hex.
    pub digest: String,
    /// Where it came from.
    pub source: PluginSource,
    /// Limits of one piece of work, after the host's caps.
    pub limits: Limits,
    /// Ids of the granted directories and channels that it asks for.
    pub capabilities: Vec<String>,
    /// What it used so far.
    pub usage: Usage,
}

/// What a plugin used since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls into it.
    pub calls: u64,
    /// Calls that ended without an answer (trap, limit).
    pub failures: u64,
    /// CPU time in milliseconds, counted every 10: what a call used after its last tick is missing.
    pub cpu_ms: u64,
    /// Time inside calls with what the host did for them meanwhile, in nanoseconds; without its
    /// reads of files, which whoever understands the format has to make.
    pub busy_ns: u64,
    /// Most memory of one piece of work, in bytes.
    pub memory_peak: u64,
    /// Bytes that crossed the sandbox.
    pub boundary: BoundaryBytes,
}

impl std::ops::Add for Usage {
    type Output = Self;

    /// Of two plugins together; the memory is that of the larger one.
    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
            busy_ns: self.busy_ns.saturating_add(other.busy_ns),
            memory_peak: self.memory_peak.max(other.memory_peak),
            boundary: self.boundary + other.boundary,
        }
    }
}

/// Bytes that crossed the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundaryBytes {
    /// From the host into plugins.
    pub to_plugins: u64,
    /// From plugins to the host.
    pub from_plugins: u64,
}

impl BoundaryBytes {
    /// Both directions.
    pub fn total(self) -> u64 {
        self.to_plugins.saturating_add(self.from_plugins)
    }
}

impl std::ops::Add for BoundaryBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            to_plugins: self.to_plugins.saturating_add(other.to_plugins),
            from_plugins: self.from_plugins.saturating_add(other.from_plugins),
        }
    }
}

/// The counters behind [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    pub(crate) memory_peak: AtomicU64,
    to_plugin: AtomicU64,
    from_plugin: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, bytes: usize) {
        self.to_plugin.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.from_plugin.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn boundary(&self) -> BoundaryBytes {
        BoundaryBytes {
            to_plugins: self.to_plugin.load(Ordering::Relaxed),
            from_plugins: self.from_plugin.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            cpu_ms: self.cpu_ns.load(Ordering::Relaxed) / 1_000_000,
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            memory_peak: self.memory_peak.load(Ordering::Relaxed),
            boundary: self.boundary(),
        }
    }
}

/// The code of a plugin, linked against exactly what it was granted.
pub(crate) enum Code {
    Format(FormatCode),
    Storage(Box<StorageCode>),
    Hypervisor(HypervisorPluginPre<State>),
}

/// The code of a storage.
pub(crate) struct StorageCode {
    pub(crate) backend: StoragePluginPre<State>,
    /// Where its bytes may go through it.
    pub(crate) stream: Option<StreamingPre<State>>,
}

/// Loads a format's code.
type Load = dyn Fn() -> Result<FormatFullPre<State>, LoadError> + Send + Sync;

/// The code of a format, which may be loaded when it is first used: most of the formats that are
/// there are not asked for anything.
#[derive(Clone)]
pub(crate) struct FormatCode(Arc<LazyCode>);

struct LazyCode {
    loaded: OnceCell<FormatFullPre<State>>,
    load: Option<Arc<Load>>,
}

impl FormatCode {
    /// Code that is here.
    pub(crate) fn ready(code: FormatFullPre<State>) -> Self {
        Self(Arc::new(LazyCode { loaded: OnceCell::new_with(Some(code)), load: None }))
    }

    /// Code that `load` gets.
    pub(crate) fn later(load: Arc<Load>) -> Self {
        Self(Arc::new(LazyCode { loaded: OnceCell::new(), load: Some(load) }))
    }

    /// The code, loaded if it was not.
    pub(crate) async fn get(&self) -> Result<FormatFullPre<State>, PortError> {
        let failed = |error: String| PortError::host(ErrorClass::Internal, "plugin.load", error);
        let load = || async {
            let load = self.0.load.clone().ok_or_else(|| failed("the code is gone".to_owned()))?;
            let loading = tokio::task::spawn_blocking(move || load());
            loading
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))
        };
        self.0.loaded.get_or_try_init(load).await.cloned()
    }
}

/// A loaded plugin.
pub(crate) struct Plugin {
    pub(crate) manifest: Manifest,
    pub(crate) digest: String,
    pub(crate) source: PluginSource,
    pub(crate) code: Code,
    pub(crate) log: Arc<PluginLog>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) counters: Counters,
    /// What the host still does for finished work: undoing what a plugin left behind.
    pub(crate) undos: TaskTracker,
}

impl Plugin {
    pub(crate) fn info(&self) -> PluginInfo {
        let manifest = &self.manifest;
        let dirs = manifest.dirs.iter().map(|dir| format!("dir:{}", dir.id));
        let channels = manifest.channels.iter().map(|channel| format!("channel:{}", channel.id));
        PluginInfo {
            id: manifest.id.clone(),
            version: manifest.version.to_string(),
            kind: manifest.kind,
            provides: manifest.provides.clone(),
            summary: manifest.summary.clone(),
            license: manifest.license.clone(),
            digest: self.digest.clone(),
            source: self.source.clone(),
            limits: manifest.limits,
            capabilities: dirs.chain(channels).collect(),
            usage: self.counters.usage(),
        }
    }
}
