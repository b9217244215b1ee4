//! The plugins of this process, as the ports of the agent and of the disk commands.

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use cap_std::{ambient_authority, fs::Dir};
use imprint_agent::{DriverGrants, Ports};
use imprint_agent_protocol::{StorageKindReport, StorageRef};
use imprint_plugin_runtime::{
    self as runtime, EmbeddedPlugin, HostOptions, LoadError, PluginHost, PluginInfo, StorageGrants, Usage,
    manifest::Kind,
};
use imprint_ports::{DiskFormat, Driver, ErrorClass, PortError, Secrets, SettingFinding, StorageBackend};

use crate::embedded::PLUGINS;

/// The setting of a local storage that names the folder which its plugin is granted.
const STORAGE_PATH: &str = "path";

/// The folders of plugins.
pub(crate) struct PluginFolders {
    /// The cache of compiled plugins.
    pub(crate) cache: PathBuf,
    /// The operator's plugins. They are loaded in addition to the shipped ones, and instead of
    /// those with the same id.
    pub(crate) more: Option<PathBuf>,
}

/// The shipped plugins and those of the operator's folder.
pub(crate) struct PluginPorts {
    host: PluginHost,
}

impl PluginPorts {
    /// Loads all plugins, for an agent.
    ///
    /// # Errors
    ///
    /// The cache's folder cannot be made, or a plugin cannot be loaded.
    pub(crate) async fn load(folders: &PluginFolders) -> Result<Self> {
        let cache_dir = Some(folders.cache.clone());
        let host = PluginHost::new(HostOptions { cache_dir, ..HostOptions::default() })?;
        host.load_embedded(&shipped("")).await.context("a shipped plugin cannot be loaded")?;
        Self::with_folder(host, folders.more.as_deref()).await
    }

    /// Loads the disk formats only; the shipped ones are compiled when they are needed. Compiled
    /// plugins are cached in the user's cache folder if it can be written.
    ///
    /// # Errors
    ///
    /// A plugin of `dir` cannot be loaded, or the binary has no plugins.
    pub(crate) async fn load_formats(dir: Option<&Path>) -> Result<Self> {
        let cached = HostOptions { cache_dir: user_cache(), ..HostOptions::default() };
        let host = match PluginHost::new(cached) {
            Err(LoadError::Io { path, source }) => {
                tracing::debug!(path = %path.display(), %source, "no cache: plugins are compiled again");
                PluginHost::new(HostOptions::default())?
            }
            started => started?,
        };
        host.list_embedded_formats(&shipped("format-")).context("a shipped plugin cannot be loaded")?;
        Self::with_folder(host, dir).await
    }

    async fn with_folder(host: PluginHost, dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = dir {
            host.load_dir(dir).await.context("the plugins' folder cannot be loaded")?;
        }
        if host.plugins().is_empty() {
            bail!("this binary was built without plugins; run `cargo xtask build`, which embeds them");
        }
        Ok(Self { host })
    }

    /// Returns every disk format.
    pub(crate) fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.host.formats()
    }

    /// Returns what the plugins have used so far: memory, time, bytes across the sandbox.
    pub(crate) fn usage(&self) -> Usage {
        self.host.usage()
    }

    /// Waits until the host has undone what plugins left behind in guests (a freeze, a stop).
    /// Called before the process ends.
    pub(crate) async fn drain(&self) {
        self.host.drain().await;
    }

    /// Returns what the plugin of a storage is granted.
    fn storage_grants(&self, storage: &StorageRef, secrets: Secrets) -> Result<StorageGrants, PortError> {
        let mut dirs = BTreeMap::new();
        if let Some(plugin) = self.of_kind(Kind::Storage, storage.kind.as_str()) {
            for id in requested(&plugin, "dir") {
                dirs.insert(id.to_owned(), Arc::new(storage_dir(storage)?));
            }
        }
        Ok(StorageGrants { settings: storage.settings.clone(), secrets, dirs })
    }

    fn of_kind(&self, kind: Kind, name: &str) -> Option<PluginInfo> {
        self.host.plugins().into_iter().find(|plugin| plugin.kind == kind && plugin.provides == name)
    }
}

/// Returns the shipped plugins with names that start with `prefix`.
fn shipped(prefix: &str) -> Vec<EmbeddedPlugin<'static>> {
    let wanted = PLUGINS.iter().filter(|(name, ..)| name.starts_with(prefix));
    wanted.map(|(name, bytes, sha256)| EmbeddedPlugin { name, bytes, sha256 }).collect()
}

/// Returns `$XDG_CACHE_HOME/imprint/plugins` or `~/.cache/imprint/plugins`.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("imprint/plugins"))
}

/// Returns the ids of the capabilities of a kind (`dir`, `channel`) that a plugin's manifest
/// requests.
fn requested<'a>(plugin: &'a PluginInfo, kind: &'a str) -> impl Iterator<Item = &'a str> {
    plugin.capabilities.iter().filter_map(move |name| name.strip_prefix(kind)?.strip_prefix(':'))
}

#[async_trait]
impl Ports for PluginPorts {
    fn plugins(&self) -> BTreeMap<String, String> {
        self.host.plugins().into_iter().map(|plugin| (plugin.id, plugin.version)).collect()
    }

    fn storage_kinds(&self) -> Vec<StorageKindReport> {
        let storages = self.host.plugins().into_iter().filter(|plugin| plugin.kind == Kind::Storage);
        let report = |plugin: PluginInfo| {
            // A name that the control plane does not know as a kind cannot be used by a storage.
            let kind = plugin.provides.parse().ok()?;
            let (id, version) = (plugin.id, plugin.version);
            Some(StorageKindReport {
                kind,
                plugin: id,
                version,
                summary: plugin.summary,
                schema: plugin.config_schema,
            })
        };
        storages.filter_map(report).collect()
    }

    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>> {
        self.host.format(name).ok()
    }

    fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.host.formats()
    }

    async fn storage(
        &self,
        storage: &StorageRef,
        secrets: Secrets,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        let grants = self.storage_grants(storage, secrets)?;
        self.host.storage(storage.kind.as_str(), grants).await
    }

    async fn check_storage(
        &self,
        storage: &StorageRef,
        secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError> {
        let grants = self.storage_grants(storage, secrets)?;
        self.host.check_storage(storage.kind.as_str(), grants).await
    }

    async fn driver(&self, kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&grants.run_dir);
        made.map_err(|error| {
            let text = format!("cannot make the sockets' folder {}: {error}", grants.run_dir.display());
            PortError::host(ErrorClass::Conflict, "driver.run-dir", text)
        })?;
        let run_dir = grants.run_dir.to_string_lossy();
        let channels = match self.of_kind(Kind::Hypervisor, kind) {
            Some(plugin) => requested(&plugin, "channel")
                .map(|id| (id.to_owned(), format!("{run_dir}/{{vm}}/{id}.sock")))
                .collect(),
            None => BTreeMap::new(),
        };
        let endpoints = grants.run_dir.clone();
        self.host
            .driver(kind, runtime::DriverGrants { settings: grants.settings.clone(), channels, endpoints })
    }
}

/// Opens the folder that the plugin of a local storage is granted.
fn storage_dir(storage: &StorageRef) -> Result<Dir, PortError> {
    let Some(path) = storage.settings.get(STORAGE_PATH) else {
        let text = format!("storage {} has no setting '{STORAGE_PATH}'; name its folder", storage.id);
        let error = PortError::host(ErrorClass::InvalidInput, "storage.path", text);
        return Err(error.about_setting(STORAGE_PATH));
    };
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| {
        let text = format!("the storage's folder {path} cannot be opened ({error}); make it or mount it");
        PortError::host(ErrorClass::NotFound, "storage.path", text).about_setting(STORAGE_PATH)
    })
}
