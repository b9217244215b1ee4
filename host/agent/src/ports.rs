//! The plugins of the agent, which the application implements by `plugin-runtime`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_agent_protocol::{StorageKindReport, StorageRef};
use imprint_ports::{
    DiskFormat, DiskInspector, Driver, PortError, Secrets, SettingFinding, StorageBackend, StorageMarker,
};

/// What a driver is granted on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverGrants {
    /// The folder of sockets. Those of an instance are `{run}/{vm}/qmp.sock` and
    /// `{run}/{vm}/qga.sock`, where `{vm}` is the instance's id. Those that exports are served on
    /// are `{run}/{capture}-*.sock`, where `{capture}` is the capture's id: the agent removes those
    /// that a lost capture left.
    pub run_dir: PathBuf,
    /// The driver's settings from the control plane.
    pub settings: BTreeMap<String, String>,
}

impl DriverGrants {
    pub(crate) fn new(run_dir: &Path, settings: BTreeMap<String, String>) -> Self {
        Self { run_dir: run_dir.to_owned(), settings }
    }
}

/// Where the folder of an image storage is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPlace {
    /// The folder that the operator made or mounted.
    pub base: PathBuf,
    /// The name of the sub-folder that the storage keeps its files in; `None` for `base` itself.
    pub sub_folder: Option<String>,
}

impl FolderPlace {
    /// Returns the path of the folder.
    pub fn path(&self) -> PathBuf {
        match &self.sub_folder {
            Some(name) => self.base.join(name),
            None => self.base.clone(),
        }
    }
}

/// The plugins of the agent.
#[async_trait]
pub trait Ports: Send + Sync {
    /// Returns the versions of the loaded plugins by their ids.
    fn plugins(&self) -> BTreeMap<String, String>;
    /// Returns the kinds of image storages that the loaded plugins provide.
    fn storage_kinds(&self) -> Vec<StorageKindReport>;
    /// Returns the names of the drivers that change the devices of running instances.
    fn drivers_with_devices(&self) -> Vec<String>;
    /// Returns what the operator has to know about plugins that are not used, as human-readable
    /// sentences.
    fn findings(&self) -> Vec<String>;
    /// Returns a disk format by its name, such as `qcow2`; `None` if no plugin provides it.
    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>>;
    /// Returns every disk format, for what is inside a wrapper such as an OVA.
    fn formats(&self) -> Vec<Arc<dyn DiskFormat>>;
    /// Returns the inspector of disks; `None` if no plugin provides one.
    fn inspector(&self) -> Option<Arc<dyn DiskInspector>>;
    /// Returns the folder that the plugin of an image storage is granted; `None` for a plugin that
    /// asks for none.
    ///
    /// # Errors
    ///
    /// Fails when the plugin asks for a folder, and the settings do not name a valid one.
    fn storage_folder(&self, storage: &StorageRef) -> Result<Option<FolderPlace>, PortError>;
    /// Opens an image storage with the folder that its plugin is granted, and with its secrets,
    /// which are kept in memory only. `marker` is that of a storage without a folder, which its
    /// plugin may recognise by it.
    ///
    /// # Errors
    ///
    /// Fails when no plugin provides it, or its settings are not valid.
    async fn storage(
        &self,
        storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
        marker: Option<StorageMarker>,
    ) -> Result<Arc<dyn StorageBackend>, PortError>;
    /// Lets a plugin check the settings of an image storage, and itself, without opening the
    /// storage. Returns `None` when the plugin has no such check.
    ///
    /// # Errors
    ///
    /// Fails when no plugin provides it, or the plugin fails.
    async fn check_storage(
        &self,
        storage: &StorageRef,
        folder: Option<Arc<Dir>>,
        secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError>;
    /// Opens a hypervisor driver by its kind, such as `qemu`.
    ///
    /// # Errors
    ///
    /// Fails when no plugin provides it, or its settings are not valid.
    async fn driver(&self, kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError>;
}
