//! A loaded plugin: its manifest, its code, and what its instances share.

use std::{path::PathBuf, sync::Arc};

use imprint_ports::{PortError, error_chain};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    bindings::{
        admin::AdministeredPre, devices::ChangingPre, format::FormatFullPre, hypervisor::HypervisorPluginPre,
        inspector::InspectorPluginPre, reclaim::ReclaimingPre, storage::StoragePluginPre,
        stream::StreamingPre,
    },
    codes::Code,
    error::LoadError,
    manifest::{DirCapability, Kind, Limits, Manifest},
    state::{PluginContext, State},
    usage::Usage,
};

/// Where a component was loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// The component is part of the binary.
    Embedded,
    /// The component was read from this file.
    File(PathBuf),
}

/// The description of a loaded plugin, for lists.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    /// The plugin's unique name, such as `format-qcow2`.
    pub id: String,
    /// The plugin's version.
    pub version: String,
    /// The kind of plugin.
    pub kind: Kind,
    /// The name under which it is found: `qcow2`, `local`, `qemu`.
    pub provides: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The licence as an SPDX expression.
    pub license: String,
    /// The SHA-256 digest of the component, in hex.
    pub digest: String,
    /// Where the component was loaded from.
    pub source: PluginSource,
    /// The version of the shipped plugin with the same id that it replaces.
    pub replaces: Option<String>,
    /// The limits of one instance, after the host's caps.
    pub limits: Limits,
    /// The directories and channels that its manifest requests, as `dir:ID` and `channel:ID`.
    pub capabilities: Vec<String>,
    /// The directories that its manifest requests.
    pub dirs: Vec<DirCapability>,
    /// The JSON Schema of its settings, if it has one.
    pub config_schema: Option<String>,
    /// Whether it is a driver that changes the devices of running instances.
    pub changes_devices: bool,
    /// What it used since it was loaded.
    pub usage: Usage,
}

/// The code of a plugin, linked against exactly what it was granted.
pub(crate) enum PluginCode {
    Format(FormatCode),
    Storage(Box<StorageCode>),
    Hypervisor(Box<DriverCode>),
    Inspector(InspectorCode),
}

/// The code of a hypervisor driver.
pub(crate) struct DriverCode {
    pub(crate) driver: HypervisorPluginPre<State>,
    /// The changes of devices, where the plugin exports them.
    pub(crate) devices: Option<ChangingPre<State>>,
    /// What lets guests give back space, where the plugin exports it.
    pub(crate) reclaim: Option<ReclaimingPre<State>>,
}

/// The code of a storage.
pub(crate) struct StorageCode {
    pub(crate) backend: StoragePluginPre<State>,
    /// The streaming interface, where the plugin exports it.
    pub(crate) stream: Option<StreamingPre<State>>,
    /// The check of its settings, where the plugin exports it.
    pub(crate) admin: Option<AdministeredPre<State>>,
}

/// Loads code.
type Loader<T> = dyn Fn() -> Result<T, LoadError> + Send + Sync;

/// The code of a format.
pub(crate) type FormatCode = LazyCode<FormatFullPre<State>>;
/// The code of an inspector.
pub(crate) type InspectorCode = LazyCode<InspectorPluginPre<State>>;

/// Code that may be loaded when it is first used: most of the loaded plugins are never used by a
/// short command. Clones share it.
#[derive(Clone)]
pub(crate) struct LazyCode<T>(Arc<Lazy<T>>);

struct Lazy<T> {
    loaded: OnceCell<T>,
    loader: Option<Arc<Loader<T>>>,
}

impl<T: Clone + Send + 'static> LazyCode<T> {
    /// Returns code that is loaded.
    pub(crate) fn ready(code: T) -> Self {
        Self(Arc::new(Lazy { loaded: OnceCell::new_with(Some(code)), loader: None }))
    }

    /// Returns code that `loader` loads at the first use.
    pub(crate) fn lazy(loader: Arc<Loader<T>>) -> Self {
        Self(Arc::new(Lazy { loaded: OnceCell::new(), loader: Some(loader) }))
    }

    /// Returns the code, and loads it first if necessary.
    pub(crate) async fn get(&self) -> Result<T, PortError> {
        let failed = |message: String| {
            tracing::error!("a plugin cannot be loaded: {message}");
            Code::Load.error(message)
        };
        let load = || async {
            let loader = self.0.loader.clone().expect("code that is not ready has a loader");
            let loading = tokio::task::spawn_blocking(move || loader());
            loading
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error_chain(&error)))
        };
        self.0.loaded.get_or_try_init(load).await.cloned()
    }
}

/// A loaded plugin.
pub(crate) struct Plugin {
    pub(crate) manifest: Manifest,
    pub(crate) digest: String,
    pub(crate) source: PluginSource,
    /// The version of the shipped plugin with the same id that it replaces.
    pub(crate) replaces: Option<String>,
    pub(crate) code: PluginCode,
    /// One permit for each instance that may exist at the same time.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) context: Arc<PluginContext>,
    /// Undos of what finished calls left behind; the host waits for them before it ends.
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
            replaces: self.replaces.clone(),
            limits: manifest.limits,
            capabilities: dirs.chain(channels).collect(),
            dirs: manifest.dirs.clone(),
            config_schema: manifest.config.as_ref().map(|schema| schema.text().to_owned()),
            changes_devices: match &self.code {
                PluginCode::Hypervisor(code) => code.devices.is_some(),
                PluginCode::Format(_) | PluginCode::Storage(_) | PluginCode::Inspector(_) => false,
            },
            usage: self.context.counters.usage(),
        }
    }
}
