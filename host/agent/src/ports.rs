//! What the application hands to the agent: plugins, as the ports of `data-path`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use imprint_agent_protocol::StorageRef;
use imprint_ports::{DiskFormat, Driver, PortError, StorageBackend};

/// What a driver may reach on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverGrants {
    /// Sockets of instances: `{run}/{vm}/qmp.sock` and `{run}/{vm}/qga.sock`, where `{vm}` is the
    /// instance's id. Sockets that exports are served on are `{run}/{capture}-*.sock`, where
    /// `{capture}` is the capture's id: the agent removes those that a lost capture left.
    pub run_dir: PathBuf,
    /// The driver's settings, as the control plane gives them.
    pub settings: BTreeMap<String, String>,
}

impl DriverGrants {
    pub(crate) fn new(run_dir: &Path, settings: BTreeMap<String, String>) -> Self {
        Self { run_dir: run_dir.to_owned(), settings }
    }
}

/// The plugins, as ports.
#[async_trait]
pub trait Ports: Send + Sync {
    /// Loaded plugins: id to version.
    fn plugins(&self) -> BTreeMap<String, String>;
    /// A disk format by its name in the product: `raw`, `qcow2`.
    fn format(&self, name: &str) -> Option<Arc<dyn DiskFormat>>;
    /// Every disk format: what may be inside a wrapper, such as an OVA.
    fn formats(&self) -> Vec<Arc<dyn DiskFormat>>;
    /// Opens an image storage.
    async fn storage(&self, storage: &StorageRef) -> Result<Arc<dyn StorageBackend>, PortError>;
    /// Opens a hypervisor driver by its kind: `qemu`.
    async fn driver(&self, kind: &str, grants: &DriverGrants) -> Result<Arc<dyn Driver>, PortError>;
}
