//! The plugins of the agent, which the application implements by `plugin-runtime`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use imprint_agent_protocol::{StorageKindReport, StorageRef};
use imprint_ports::{DiskFormat, Driver, PortError, Secrets, SettingFinding, StorageBackend};

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

/// The plugins of the agent.
#[async_trait]
pub trait Ports: Send + Sync {
    /// Returns the versions of the loaded plugins by their ids.
    fn plugins(&self) -> BTreeMap<String, String>;
    /// Returns the kinds of image storages that the loaded plugins provide.
    fn storage_kinds(&self) -> Vec<StorageKindReport>;
    /// Returns a disk format by its name, such as `qcow2`; `None` if no plugin provides it.
    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>>;
    /// Returns every disk format, for what is inside a wrapper such as an OVA.
    fn formats(&self) -> Vec<Arc<dyn DiskFormat>>;
    /// Opens an image storage with its secrets, which are kept in memory only.
    ///
    /// # Errors
    ///
    /// Fails when no plugin provides it, or its settings are not valid.
    async fn storage(
        &self,
        storage: &StorageRef,
        secrets: Secrets,
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
        secrets: Secrets,
    ) -> Result<Option<Vec<SettingFinding>>, PortError>;
    /// Opens a hypervisor driver by its kind, such as `qemu`.
    ///
    /// # Errors
    ///
    /// Fails when no plugin provides it, or its settings are not valid.
    async fn driver(&self, kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError>;
}
