//! The facade: loads plugins, and hands out what they provide.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use imprint_ports::{DiskFormat, Driver, ErrorClass, PortError, StorageBackend};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};
use wasmtime::{Engine, component::Component};

use crate::{
    cache::Cache,
    engine::{self, Allocation},
    error::LoadError,
    linker,
    log::PluginLog,
    manifest::{Kind, Limits, Manifest, section},
    plugin::{Code, Counters, FormatCode, Plugin, PluginInfo, PluginSource, Usage},
    ports::{ComponentDriver, ComponentFormat, ComponentStorage, DriverGrants, StorageGrants},
};

/// A component is code and tables; the largest shipped one is below 1 MiB.
const MAX_COMPONENT: usize = 32 << 20;
/// Components in one folder.
const MAX_FILES: usize = 200;

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Folder for compiled components; without one every start compiles them again.
    pub cache_dir: Option<PathBuf>,
    /// The most that any plugin gets, whatever its manifest asks for.
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
    /// For messages.
    pub name: &'a str,
    /// The component, with its manifest.
    pub bytes: &'a [u8],
    /// Its sha256 when the binary was built, in hex.
    pub sha256: &'a str,
}

/// Loads plugins and hands out what they provide. Clones share everything.
#[derive(Clone)]
pub struct PluginHost {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    allocation: Allocation,
    cache: Option<Arc<Cache>>,
    caps: Limits,
    plugins: RwLock<BTreeMap<String, Arc<Plugin>>>,
    undos: TaskTracker,
}

impl PluginHost {
    /// Starts the engine; no plugin is loaded yet.
    pub fn new(options: HostOptions) -> Result<Self, LoadError> {
        let (engine, allocation) = engine::start()?;
        let cache = options.cache_dir.as_deref().map(Cache::open).transpose()?.map(Arc::new);
        let undos = TaskTracker::new();
        undos.close();
        let plugins = RwLock::default();
        Ok(Self { inner: Arc::new(Inner { engine, allocation, cache, caps: options.caps, plugins, undos }) })
    }

    /// How instances get their memory, for health reports.
    pub fn allocation(&self) -> Allocation {
        self.inner.allocation
    }

    /// Loads a component with its manifest. It replaces an earlier one with the same id: work that
    /// began with that one ends with it.
    pub async fn load_component(&self, bytes: &[u8], source: PluginSource) -> Result<PluginInfo, LoadError> {
        let (host, bytes) = (self.clone(), bytes.to_vec());
        let loading = tokio::task::spawn_blocking(move || host.inner.load(&bytes, source));
        let plugin = match loading.await {
            Ok(loaded) => loaded?,
            Err(failed) => return Err(LoadError::Engine(failed.to_string())),
        };
        Ok(self.add(plugin))
    }

    fn add(&self, plugin: Arc<Plugin>) -> PluginInfo {
        let info = plugin.info();
        info!(plugin = info.id, version = info.version, digest = &info.digest[..12], "plugin loaded");
        let mut plugins = self.inner.plugins.write().unwrap_or_else(PoisonError::into_inner);
        plugins.insert(info.id.clone(), plugin);
        info
    }

    /// Loads the plugins of the binary, after comparing their digests.
    pub async fn load_embedded(&self, plugins: &[EmbeddedPlugin<'_>]) -> Result<Vec<PluginInfo>, LoadError> {
        let mut loaded = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            plugin.check()?;
            loaded.push(self.load_component(plugin.bytes, PluginSource::Embedded).await?);
        }
        Ok(loaded)
    }

    /// Lists the formats of the binary; the code of each is loaded, after comparing its digest,
    /// when it is first used. What is wrong with it shows then: for short commands, not for
    /// servers.
    pub fn list_embedded_formats(
        &self,
        plugins: &[EmbeddedPlugin<'static>],
    ) -> Result<Vec<PluginInfo>, LoadError> {
        plugins.iter().map(|plugin| Ok(self.add(self.inner.list_format(*plugin)?))).collect()
    }

    /// Loads every `*.wasm` of a folder, in the order of their names.
    pub async fn load_dir(&self, dir: &Path) -> Result<Vec<PluginInfo>, LoadError> {
        let files = component_files(dir).map_err(|source| LoadError::Io { path: dir.to_owned(), source })?;
        let mut loaded = Vec::with_capacity(files.len());
        for path in files {
            let failed = |source| LoadError::Io { path: path.clone(), source };
            let size = tokio::fs::metadata(&path).await.map_err(failed)?.len();
            let in_file = |source| LoadError::InFile { path: path.clone(), source: Box::new(source) };
            check_size(usize::try_from(size).unwrap_or(usize::MAX)).map_err(in_file)?;
            let bytes = tokio::fs::read(&path).await.map_err(failed)?;
            let source = PluginSource::File(path.clone());
            loaded.push(self.load_component(&bytes, source).await.map_err(in_file)?);
        }
        Ok(loaded)
    }

    /// Every loaded plugin, by id.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.each(|plugin| Some(plugin.info()))
    }

    /// Every disk format.
    pub fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.each(|plugin| {
            let format: Arc<dyn DiskFormat> = Arc::new(ComponentFormat::new(plugin, &self.inner.engine)?);
            Some(format)
        })
    }

    /// A disk format by name: `raw`, `qcow2`, ...
    pub fn format(&self, name: &str) -> Result<Arc<dyn DiskFormat>, PortError> {
        let plugin = self.find(Kind::Format, name)?;
        let format =
            ComponentFormat::new(&plugin, &self.inner.engine).ok_or_else(|| absent(Kind::Format, name))?;
        Ok(Arc::new(format))
    }

    /// A storage by kind (`local`, ...) with what its operator gives it. It is opened once, so that
    /// wrong settings show now and not in the middle of a capture.
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

    /// A hypervisor driver by kind (`qemu`, ...) with what its operator gives it.
    pub fn driver(&self, kind: &str, grants: DriverGrants) -> Result<Arc<dyn Driver>, PortError> {
        let plugin = self.find(Kind::Hypervisor, kind)?;
        Ok(Arc::new(ComponentDriver::new(&plugin, &self.inner.engine, grants)?))
    }

    /// What all plugins together used since they were loaded.
    pub fn usage(&self) -> Usage {
        self.each(|plugin| Some(plugin.counters.usage()))
            .into_iter()
            .fold(Usage::default(), |sum, usage| sum + usage)
    }

    /// Waits until the host has undone everything that plugins left behind (frozen and stopped
    /// guests). To be called before the process ends.
    pub async fn drain(&self) {
        self.inner.undos.wait().await;
    }

    fn each<T>(&self, pick: impl Fn(&Arc<Plugin>) -> Option<T>) -> Vec<T> {
        let plugins = self.inner.plugins.read().unwrap_or_else(PoisonError::into_inner);
        plugins.values().filter_map(pick).collect()
    }

    fn find(&self, kind: Kind, name: &str) -> Result<Arc<Plugin>, PortError> {
        let found = self.each(|plugin| {
            let fits = plugin.manifest.kind == kind && plugin.manifest.provides == name;
            fits.then(|| plugin.clone())
        });
        found.into_iter().next().ok_or_else(|| absent(kind, name))
    }
}

fn absent(kind: Kind, name: &str) -> PortError {
    let kind = kind.word();
    let message = format!("no {kind} plugin provides {name:?}; install one, or choose another {kind}");
    PortError::host(ErrorClass::NotFound, "plugin.not-found", message)
}

impl EmbeddedPlugin<'_> {
    fn check(&self) -> Result<(), LoadError> {
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

    fn list_format(&self, plugin: EmbeddedPlugin<'static>) -> Result<Arc<Plugin>, LoadError> {
        let manifest = Manifest::parse(section::find(plugin.bytes)?, &self.caps)?;
        let (engine, cache, asked) = (self.engine.clone(), self.cache.clone(), manifest.clone());
        let load = move || {
            plugin.check()?;
            let component = compile(&engine, cache.as_deref(), plugin.bytes, plugin.sha256)?;
            linker::link_format(&engine, &component, &asked)
        };
        let code = Code::Format(FormatCode::later(Arc::new(load)));
        Ok(self.plugin(manifest, plugin.sha256.to_owned(), PluginSource::Embedded, code))
    }

    fn plugin(&self, manifest: Manifest, digest: String, source: PluginSource, code: Code) -> Arc<Plugin> {
        let permits = usize::try_from(manifest.limits.instances).unwrap_or(Semaphore::MAX_PERMITS);
        Arc::new(Plugin {
            log: PluginLog::new(&manifest.id, manifest.limits.log_rate),
            permits: Arc::new(Semaphore::new(permits)),
            counters: Counters::default(),
            undos: self.undos.clone(),
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
        debug!(digest, "compiled plugin taken from the cache");
        return Ok(component);
    }
    let component =
        Component::from_binary(engine, bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    if let Some(cache) = cache {
        cache.store(engine, digest, &component);
    }
    Ok(component)
}

fn check_size(size: usize) -> Result<(), LoadError> {
    if size > MAX_COMPONENT {
        return Err(LoadError::TooLarge { size, limit: MAX_COMPONENT });
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn component_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(std::io::Error::other(format!("more than {MAX_FILES} plugins in one folder")));
        }
    }
    files.sort();
    Ok(files)
}
