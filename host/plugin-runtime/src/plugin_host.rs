//! The entry point of the crate: loads plugins, and returns what they provide as ports.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use imprint_ports::{DiskFormat, DiskInspector, Driver, PortError, SettingFinding, StorageBackend};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};
use wasmtime::{Engine, component::Component};

use crate::{
    cache::Cache,
    codes::Code,
    engine::{self, Allocation},
    error::LoadError,
    linker,
    log::PluginLog,
    manifest::{Kind, Limits, Manifest, section},
    plugin::{FormatCode, InspectorCode, Plugin, PluginCode, PluginInfo, PluginSource},
    ports::{
        ComponentDriver, ComponentFormat, ComponentInspector, ComponentStorage, DriverGrants, StorageGrants,
    },
    quarantine::{Identity, Quarantined},
    state::PluginContext,
    sync,
    usage::{Counters, Usage},
};

/// The largest component in bytes; the largest shipped one is below 1 MiB.
const MAX_COMPONENT: usize = 32 << 20;

/// The settings of a plugin host.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The folder for compiled components. Without one, every start compiles them again.
    pub cache_dir: Option<PathBuf>,
    /// The highest limits of any plugin, whatever its manifest requests.
    pub caps: Limits,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { cache_dir: None, caps: Limits::caps() }
    }
}

/// A plugin that is part of the binary.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedPlugin<'a> {
    /// The plugin's name, for messages.
    pub name: &'a str,
    /// The component, with its manifest.
    pub bytes: &'a [u8],
    /// The SHA-256 digest of `bytes` when the binary was built, in hex.
    pub sha256: &'a str,
}

/// Loads plugins and returns what they provide. Clones share everything.
#[derive(Clone)]
pub struct PluginHost {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    allocation: Allocation,
    cache: Option<Arc<Cache>>,
    caps: Limits,
    plugins: Mutex<BTreeMap<String, Arc<Plugin>>>,
    /// The plugins of the binary by their ids.
    shipped: Mutex<BTreeMap<String, Shipped>>,
    quarantined: Mutex<Vec<Quarantined>>,
    undos: TaskTracker,
}

/// What is known of a plugin of the binary, also after another one replaced it.
struct Shipped {
    identity: Identity,
    version: String,
}

impl PluginHost {
    /// Starts the engine. No plugin is loaded yet.
    ///
    /// # Errors
    ///
    /// The engine cannot start, or the cache's folder cannot be used.
    pub fn new(options: HostOptions) -> Result<Self, LoadError> {
        let (engine, allocation) = engine::start()?;
        let cache = options.cache_dir.as_deref().map(Cache::open).transpose()?.map(Arc::new);
        let undos = TaskTracker::new();
        undos.close();
        let inner = Inner {
            engine,
            allocation,
            cache,
            caps: options.caps,
            plugins: Mutex::default(),
            shipped: Mutex::default(),
            quarantined: Mutex::default(),
            undos,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the source of the instances' memory, for health reports.
    pub fn allocation(&self) -> Allocation {
        self.inner.allocation
    }

    /// Loads a component with its manifest. It replaces an earlier one with the same id: instances
    /// of that one that exist already are used until they end.
    ///
    /// # Errors
    ///
    /// The component or its manifest is not valid, or does not fit this host.
    pub async fn load_component(&self, bytes: &[u8], source: PluginSource) -> Result<PluginInfo, LoadError> {
        let (host, bytes) = (self.clone(), bytes.to_vec());
        let loading = tokio::task::spawn_blocking(move || host.inner.load(&bytes, source));
        let plugin = match loading.await {
            Ok(loaded) => loaded?,
            Err(error) => return Err(LoadError::Engine(error.to_string())),
        };
        Ok(self.add(plugin))
    }

    fn add(&self, plugin: Arc<Plugin>) -> PluginInfo {
        let info = plugin.info();
        info!(plugin = info.id, version = info.version, digest = &info.digest[..12], "plugin loaded");
        if let Some(replaced) = &info.replaces {
            info!(plugin = info.id, version = info.version, replaced, "it replaces the shipped plugin");
        }
        if info.source == PluginSource::Embedded {
            let shipped = Shipped { identity: Identity::of(&plugin.manifest), version: info.version.clone() };
            sync::lock(&self.inner.shipped).insert(info.id.clone(), shipped);
        }
        sync::lock(&self.inner.plugins).insert(info.id.clone(), plugin);
        info
    }

    /// Loads the plugins of the binary, after comparing their digests.
    ///
    /// # Errors
    ///
    /// A digest does not match, or a plugin cannot be loaded.
    pub async fn load_embedded(&self, plugins: &[EmbeddedPlugin<'_>]) -> Result<Vec<PluginInfo>, LoadError> {
        let mut loaded = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            plugin.check_digest()?;
            loaded.push(self.load_component(plugin.bytes, PluginSource::Embedded).await?);
        }
        Ok(loaded)
    }

    /// Adds formats and inspectors of the binary without loading their code. The code of each is
    /// loaded at its first use, after comparing its digest, and faults in it are found only then:
    /// this is for short commands, not for servers.
    ///
    /// # Errors
    ///
    /// A manifest is not valid, or is that of a plugin of another kind.
    pub fn list_embedded(&self, plugins: &[EmbeddedPlugin<'static>]) -> Result<Vec<PluginInfo>, LoadError> {
        plugins.iter().map(|plugin| Ok(self.add(self.inner.list(*plugin)?))).collect()
    }

    /// Returns the files of the operator's folder that are not used, in the order of their names.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        sync::lock(&self.inner.quarantined).clone()
    }

    pub(crate) fn set_quarantined(&self, files: Vec<Quarantined>) {
        *sync::lock(&self.inner.quarantined) = files;
    }

    pub(crate) fn caps(&self) -> &Limits {
        &self.inner.caps
    }

    /// Returns the plugins of the binary, also those that were replaced.
    pub(crate) fn shipped(&self) -> Vec<Identity> {
        sync::lock(&self.inner.shipped).values().map(|shipped| shipped.identity.clone()).collect()
    }

    /// Returns every loaded plugin, in the order of their ids.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.each(|plugin| Some(plugin.info()))
    }

    /// Returns every disk format.
    pub fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.each(|plugin| {
            let format: Arc<dyn DiskFormat> = Arc::new(ComponentFormat::new(plugin, &self.inner.engine)?);
            Some(format)
        })
    }

    /// Returns a disk format by its name: `raw`, `qcow2`, ...
    ///
    /// # Errors
    ///
    /// No plugin provides it.
    pub fn format(&self, name: &str) -> Result<Arc<dyn DiskFormat>, PortError> {
        let plugin = self.find(Kind::Format, name)?;
        let format =
            ComponentFormat::new(&plugin, &self.inner.engine).ok_or_else(|| not_found(Kind::Format, name))?;
        Ok(Arc::new(format))
    }

    /// Returns every inspector of disks.
    pub fn inspectors(&self) -> Vec<Arc<dyn DiskInspector>> {
        self.each(|plugin| {
            let inspector: Arc<dyn DiskInspector> =
                Arc::new(ComponentInspector::new(plugin, &self.inner.engine)?);
            Some(inspector)
        })
    }

    /// Returns a storage by its name (`local`, ...) with what the operator grants to it. It is
    /// opened once, so that wrong settings are found now and not in the middle of a capture.
    ///
    /// # Errors
    ///
    /// No plugin provides it, a grant is missing, or the plugin cannot open the storage.
    pub async fn storage(
        &self,
        kind: &str,
        grants: StorageGrants,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        let plugin = self.find(Kind::Storage, kind)?;
        let storage = ComponentStorage::new(&plugin, &self.inner.engine, grants)?;
        storage.check().await?;
        Ok(Arc::new(storage))
    }

    /// Lets the plugin of a storage check its settings without opening the storage: the interface
    /// `imprint:plugin/admin`, which is optional. Returns `None` when the plugin does not export
    /// it.
    ///
    /// # Errors
    ///
    /// No plugin provides it, a grant is missing, or the plugin fails.
    pub async fn check_storage(
        &self,
        kind: &str,
        grants: StorageGrants,
    ) -> Result<Option<Vec<SettingFinding>>, PortError> {
        let plugin = self.find(Kind::Storage, kind)?;
        ComponentStorage::new(&plugin, &self.inner.engine, grants)?.check_settings().await
    }

    /// Returns a hypervisor driver by its name (`qemu`, ...) with what the operator grants to it.
    ///
    /// # Errors
    ///
    /// No plugin provides it, or the folder for sockets has no absolute path.
    pub fn driver(&self, kind: &str, grants: DriverGrants) -> Result<Arc<dyn Driver>, PortError> {
        let plugin = self.find(Kind::Hypervisor, kind)?;
        Ok(Arc::new(ComponentDriver::new(&plugin, &self.inner.engine, grants)?))
    }

    /// Returns what all plugins together used since they were loaded.
    pub fn usage(&self) -> Usage {
        self.each(|plugin| Some(plugin.context.counters.usage()))
            .into_iter()
            .fold(Usage::default(), |sum, usage| sum + usage)
    }

    /// Waits until the host has undone everything that plugins left behind (frozen and stopped
    /// guests). The process calls it before it ends.
    pub async fn drain(&self) {
        self.inner.undos.wait().await;
    }

    fn each<T>(&self, pick: impl Fn(&Arc<Plugin>) -> Option<T>) -> Vec<T> {
        sync::lock(&self.inner.plugins).values().filter_map(pick).collect()
    }

    fn find(&self, kind: Kind, name: &str) -> Result<Arc<Plugin>, PortError> {
        let found = self.each(|plugin| {
            let fits = plugin.manifest.kind == kind && plugin.manifest.provides == name;
            fits.then(|| plugin.clone())
        });
        found.into_iter().next().ok_or_else(|| not_found(kind, name))
    }
}

fn not_found(kind: Kind, name: &str) -> PortError {
    let kind = kind.as_str();
    let message = format!("no {kind} plugin provides {name:?}; install one, or choose another {kind}");
    Code::NotFound.error(message)
}

impl EmbeddedPlugin<'_> {
    fn check_digest(&self) -> Result<(), LoadError> {
        let found = digest(self.bytes);
        if found == self.sha256 {
            return Ok(());
        }
        Err(LoadError::Digest { name: self.name.to_owned(), found, expected: self.sha256.to_owned() })
    }
}

impl Inner {
    fn load(&self, bytes: &[u8], source: PluginSource) -> Result<Arc<Plugin>, LoadError> {
        check_size(bytes.len())?;
        let manifest = Manifest::parse(section::find(bytes)?, &self.caps)?;
        let digest = digest(bytes);
        let component = compile(&self.engine, self.cache.as_deref(), bytes, &digest)?;
        let code = linker::link(&self.engine, &component, &manifest)?;
        Ok(self.plugin(manifest, digest, source, code))
    }

    fn list(&self, plugin: EmbeddedPlugin<'static>) -> Result<Arc<Plugin>, LoadError> {
        let manifest = Manifest::parse(section::find(plugin.bytes)?, &self.caps)?;
        let (engine, cache, requested) = (self.engine.clone(), self.cache.clone(), manifest.clone());
        let component = {
            let engine = engine.clone();
            move || {
                plugin.check_digest()?;
                compile(&engine, cache.as_deref(), plugin.bytes, plugin.sha256)
            }
        };
        let code = match manifest.kind {
            Kind::Format => PluginCode::Format(FormatCode::lazy(Arc::new(move || {
                linker::link_format(&engine, &component()?, &requested)
            }))),
            Kind::Inspector => PluginCode::Inspector(InspectorCode::lazy(Arc::new(move || {
                linker::link_inspector(&engine, &component()?, &requested)
            }))),
            Kind::Storage | Kind::Hypervisor => {
                return Err(LoadError::manifest("only formats and inspectors are loaded at their first use"));
            }
        };
        Ok(self.plugin(manifest, plugin.sha256.to_owned(), PluginSource::Embedded, code))
    }

    /// Returns the version of the shipped plugin that a file with this id replaces.
    fn replaced_version(&self, id: &str, source: &PluginSource) -> Option<String> {
        match source {
            PluginSource::Embedded => None,
            PluginSource::File(_) => sync::lock(&self.shipped).get(id).map(|shipped| shipped.version.clone()),
        }
    }

    fn plugin(
        &self,
        manifest: Manifest,
        digest: String,
        source: PluginSource,
        code: PluginCode,
    ) -> Arc<Plugin> {
        let permits = usize::try_from(manifest.limits.instances).unwrap_or(Semaphore::MAX_PERMITS);
        Arc::new(Plugin {
            context: Arc::new(PluginContext {
                id: manifest.id.clone(),
                limits: manifest.limits,
                log: PluginLog::new(&manifest.id, manifest.limits.log_rate),
                counters: Counters::default(),
            }),
            permits: Arc::new(Semaphore::new(permits)),
            undos: self.undos.clone(),
            replaces: self.replaced_version(&manifest.id, &source),
            manifest,
            digest,
            source,
            code,
        })
    }
}

fn compile(
    engine: &Engine,
    cache: Option<&Cache>,
    bytes: &[u8],
    digest: &str,
) -> Result<Component, LoadError> {
    if let Some(component) = cache.and_then(|cache| cache.load(engine, digest)) {
        debug!(digest, "compiled plugin found in the cache");
        return Ok(component);
    }
    let component =
        Component::from_binary(engine, bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    if let Some(cache) = cache {
        cache.store(engine, digest, &component);
    }
    Ok(component)
}

pub(crate) fn check_size(size: usize) -> Result<(), LoadError> {
    if size > MAX_COMPONENT {
        return Err(LoadError::TooLarge { size, limit: MAX_COMPONENT });
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
