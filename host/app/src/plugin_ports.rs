//! The plugins of this process, as the ports of the agent and of the disk commands.

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_agent::{DriverGrants, FolderPlace, Ports};
use imprint_agent_protocol::{StorageKindReport, StorageRef};
use imprint_plugin_runtime::{
    self as runtime, EmbeddedPlugin, HostOptions, LoadError, PluginHost, PluginInfo, Quarantined,
    StorageGrants, Usage, manifest::Kind,
};
use imprint_ports::{
    DiskFormat, DiskInspector, Driver, ErrorClass, PortError, Secrets, SettingFinding, StorageBackend,
    StorageMarker,
};

use crate::embedded::PLUGINS;

/// The setting of a storage that names the folder which its plugin is granted.
const STORAGE_PATH: &str = "path";
/// The setting of a storage that names a sub-folder of it, which is granted instead.
const STORAGE_FOLDER: &str = "folder";
/// The value of [`STORAGE_FOLDER`] for no sub-folder.
const THE_PATH_ITSELF: &str = ".";

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
    /// Loads all plugins, for an agent. A plugin of the operator's folder that cannot be used is
    /// quarantined, and stops nothing.
    ///
    /// # Errors
    ///
    /// A folder cannot be used, or a shipped plugin cannot be loaded.
    pub(crate) async fn load(folders: &PluginFolders) -> Result<Self> {
        let cache_dir = Some(folders.cache.clone());
        let host = PluginHost::new(HostOptions { cache_dir, ..HostOptions::default() })?;
        host.load_embedded(&shipped("")).await.context("a shipped plugin cannot be loaded")?;
        Self::with_folder(host, folders.more.as_deref()).await
    }

    /// Loads the disk formats and the inspectors only; the shipped ones are compiled when they are
    /// needed. Compiled
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
        for kind in ["format-", "inspector-"] {
            host.list_embedded(&shipped(kind)).context("a shipped plugin cannot be loaded")?;
        }
        let ports = Self::with_folder(host, dir).await?;
        // The folder is named in the command itself: the plugin in it is the one to be used.
        match ports.quarantined().first() {
            Some(quarantined) => bail!("{}", quarantined.finding()),
            None => Ok(ports),
        }
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

    /// Returns every inspector of disks.
    pub(crate) fn inspectors(&self) -> Vec<Arc<dyn DiskInspector>> {
        self.host.inspectors()
    }

    /// Returns every plugin that is used.
    pub(crate) fn loaded(&self) -> Vec<PluginInfo> {
        self.host.plugins()
    }

    /// Returns the files of the operator's folder that are not used.
    pub(crate) fn quarantined(&self) -> Vec<Quarantined> {
        self.host.quarantined()
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
    fn storage_grants(
        &self,
        storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
        marker: Option<StorageMarker>,
    ) -> StorageGrants {
        let mut dirs = BTreeMap::new();
        if let (Some(plugin), Some(folder)) = (self.of_kind(Kind::Storage, storage.kind.as_str()), folder) {
            let needed = plugin.dirs.iter().filter(|dir| dir.is_needed(&storage.settings));
            dirs.extend(needed.map(|dir| (dir.id.clone(), folder.clone())));
        }
        StorageGrants { settings: storage.settings.clone(), secrets, dirs, marker }
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

/// Returns the ids of the capabilities of a kind (`channel`) that a plugin's manifest requests.
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

    fn drivers_with_devices(&self) -> Vec<String> {
        let drivers = self.host.plugins().into_iter().filter(|plugin| plugin.changes_devices);
        drivers.map(|plugin| plugin.provides).collect()
    }

    fn findings(&self) -> Vec<String> {
        self.quarantined().iter().map(Quarantined::finding).collect()
    }

    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>> {
        self.host.format(name).ok()
    }

    fn formats(&self) -> Vec<Arc<dyn DiskFormat>> {
        self.host.formats()
    }

    fn inspector(&self) -> Option<Arc<dyn DiskInspector>> {
        self.host.inspectors().into_iter().next()
    }

    fn storage_folder(&self, storage: &StorageRef) -> Result<Option<FolderPlace>, PortError> {
        let plugin = self.of_kind(Kind::Storage, storage.kind.as_str());
        let is_needed = |plugin: &PluginInfo| plugin.dirs.iter().any(|dir| dir.is_needed(&storage.settings));
        match plugin.filter(is_needed) {
            Some(_) => folder_place(storage).map(Some),
            None => Ok(None),
        }
    }

    async fn storage(
        &self,
        storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
        marker: Option<StorageMarker>,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        let grants = self.storage_grants(storage, folder, secrets, marker);
        self.host.storage(storage.kind.as_str(), grants).await
    }

    async fn check_storage(
        &self,
        storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError> {
        let grants = self.storage_grants(storage, folder, secrets, None);
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

/// Returns the folder that the settings of a storage name.
fn folder_place(storage: &StorageRef) -> Result<FolderPlace, PortError> {
    let invalid = |setting: &str, text: String| {
        Err(PortError::host(ErrorClass::InvalidInput, "storage.path", text).about_setting(setting))
    };
    let Some(base) = storage.settings.get(STORAGE_PATH).map(PathBuf::from) else {
        return invalid(
            STORAGE_PATH,
            format!("storage {} has no setting `{STORAGE_PATH}`; name its folder", storage.id),
        );
    };
    if !base.is_absolute() {
        return invalid(
            STORAGE_PATH,
            format!("the setting `{STORAGE_PATH}` is {}; name an absolute path", base.display()),
        );
    }
    let sub_folder = storage.settings.get(STORAGE_FOLDER).filter(|name| *name != THE_PATH_ITSELF).cloned();
    if let Some(name) = &sub_folder
        && (name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']))
    {
        return invalid(
            STORAGE_FOLDER,
            format!(
                "the setting `{STORAGE_FOLDER}` is {name:?}; give the name of one folder below `{STORAGE_PATH}`, or \
             `{THE_PATH_ITSELF}` for none"
            ),
        );
    }
    Ok(FolderPlace { base, sub_folder })
}

#[cfg(test)]
mod tests {
    use imprint_domain::{id::StorageId, plugin_kind::StorageKind};
    use uuid::Uuid;

    use super::*;

    fn place(settings: &[(&str, &str)]) -> Result<PathBuf, String> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let storage = StorageRef {
            id: StorageId::new(Uuid::from_u128(1)),
            kind: StorageKind::local(),
            settings: settings.collect(),
            secrets_version: 0,
            initialise: false,
        };
        folder_place(&storage).map(|place| place.path()).map_err(|error| error.message)
    }

    #[test]
    fn the_folder_of_a_storage_is_below_its_path() {
        assert_eq!(place(&[("path", "/srv")]), Ok("/srv".into()));
        assert_eq!(place(&[("path", "/srv"), ("folder", ".")]), Ok("/srv".into()));
        assert_eq!(place(&[("path", "/srv"), ("folder", "customer")]), Ok("/srv/customer".into()));
        assert!(place(&[]).unwrap_err().contains("no setting `path`"));
        assert!(place(&[("path", "srv")]).unwrap_err().contains("absolute"));
        for folder in ["", "..", "a/b", ".hidden", "/etc"] {
            assert!(
                place(&[("path", "/srv"), ("folder", folder)]).unwrap_err().contains("`folder`"),
                "{folder}"
            );
        }
    }
}
