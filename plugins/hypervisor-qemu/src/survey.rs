//! What is inside a QEMU process now, and whether a live capture of it is safe.

use imprint_plugin_sdk::{
    hypervisor::{Disk, Power},
    types::props,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    error::Fault,
    monitor::{Monitor, Version},
    names::PREFIX,
};

/// First version with everything that the sequence uses.
pub(crate) const LOWEST: &str = "7.2";
const LOWEST_VERSION: Version = Version { major: 7, minor: 2, micro: 0 };
/// Before it, an NBD client that leaves an export of a disk on an iothread aborts the process.
const IOTHREAD_SAFE: Version = Version { major: 10, minor: 0, micro: 0 };
/// The block drivers that the capture is made of.
const DRIVERS: [&str; 2] = ["copy-before-write", "snapshot-access"];
/// The device that [`crate::launch`] gives to the primary disk.
pub(crate) const PRIMARY_DEVICE: &str = "vdisk0";

#[derive(Deserialize)]
struct RunState {
    status: String,
}

#[derive(Deserialize)]
struct BlockDevice {
    #[serde(default)]
    qdev: Option<String>,
    removable: bool,
    #[serde(default)]
    inserted: Option<Inserted>,
}

#[derive(Deserialize)]
struct Inserted {
    #[serde(rename = "node-name")]
    node: String,
    ro: bool,
    drv: String,
    #[serde(default, rename = "backing_file_depth")]
    backing_depth: u32,
    image: ImageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageInfo {
    virtual_size: u64,
    #[serde(default)]
    actual_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BlockNode {
    node_name: String,
    image: ImageInfo,
}

/// A block export of the process.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Export {
    pub(crate) id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pub(crate) shutting_down: bool,
}

impl Export {
    pub(crate) fn is_nbd(&self) -> bool {
        self.kind == "nbd"
    }
}

#[derive(Deserialize)]
struct CharacterDevice {
    label: String,
    #[serde(rename = "frontend-open")]
    frontend_open: bool,
}

#[derive(Deserialize)]
struct SchemaEntry {
    #[serde(default)]
    values: Vec<String>,
}

/// A node of the block graph.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) virtual_size: u64,
    pub(crate) allocated: u64,
}

/// A disk of the instance that has a medium.
#[derive(Debug)]
pub(crate) struct FoundDisk {
    /// QOM path of its device.
    pub(crate) device: String,
    /// Top node of its block graph.
    pub(crate) node: String,
    pub(crate) virtual_size: u64,
    pub(crate) read_only: bool,
    allocated: Option<u64>,
    format: String,
    backing_depth: u32,
    removable: bool,
}

impl FoundDisk {
    /// The device's id, or its path where it has none.
    pub(crate) fn id(&self) -> &str {
        self.device.strip_prefix("/machine/peripheral/").unwrap_or(&self.device)
    }

    fn new(device: BlockDevice) -> Option<Self> {
        let inserted = device.inserted?;
        let qdev = device.qdev.filter(|qdev| !qdev.is_empty())?;
        Some(Self {
            device: device_path(&qdev),
            node: inserted.node,
            virtual_size: inserted.image.virtual_size,
            read_only: inserted.ro,
            allocated: inserted.image.actual_size,
            format: inserted.drv,
            backing_depth: inserted.backing_depth,
            removable: device.removable,
        })
    }
}

/// `query-block` names a device in one of three ways; `qom-set` wants its QOM path.
fn device_path(qdev: &str) -> String {
    let path = qdev.strip_suffix("/virtio-backend").unwrap_or(qdev);
    if path.contains('/') { path.to_owned() } else { format!("/machine/peripheral/{path}") }
}

/// What the process shows at one moment.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) version: Version,
    pub(crate) power: Power,
    pub(crate) disks: Vec<FoundDisk>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) exports: Vec<Export>,
    iothreads: usize,
}

impl Survey {
    /// Asks QEMU. Changes nothing.
    pub(crate) fn take(monitor: &mut Monitor<'_>) -> Result<Self, Fault> {
        let devices: Vec<BlockDevice> = monitor.query("query-block")?;
        let iothreads: Vec<serde::de::IgnoredAny> = monitor.query("query-iothreads")?;
        Ok(Self {
            version: monitor.version,
            power: power(monitor)?,
            disks: devices.into_iter().filter_map(FoundDisk::new).collect(),
            nodes: nodes(monitor)?,
            exports: exports(monitor)?,
            iothreads: iothreads.len(),
        })
    }

    /// The disk that captures take: the one that the driver itself made the first, otherwise the
    /// first fixed disk.
    pub(crate) fn primary(&self) -> Option<&FoundDisk> {
        let fixed = || self.disks.iter().filter(|disk| !disk.removable);
        fixed().find(|disk| disk.id() == PRIMARY_DEVICE).or_else(|| fixed().next())
    }

    /// Whether a node of this name is there.
    pub(crate) fn has_node(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.name == name)
    }

    /// Passes all gates, or says why a live capture is impossible or unsafe.
    pub(crate) fn gates(&self, monitor: &mut Monitor<'_>) -> Result<&FoundDisk, Fault> {
        if self.version < LOWEST_VERSION {
            return Err(Fault::OldVersion { found: self.version.to_string() });
        }
        self.no_leftovers()?;
        if self.exports.iter().any(Export::is_nbd) {
            return Err(Fault::NbdBusy);
        }
        let disk = self.primary().ok_or_else(|| Fault::NoPrimaryDisk {
            problem: "the instance has no fixed disk with a medium".to_owned(),
        })?;
        if disk.read_only {
            return Err(Fault::ReadOnlyDisk { disk: disk.id().to_owned() });
        }
        if disk.virtual_size == 0 {
            return Err(Fault::NoPrimaryDisk { problem: format!("`{}` is empty", disk.id()) });
        }
        if self.version < IOTHREAD_SAFE && (self.iothreads > 0 || on_iothread(monitor, disk)?) {
            let found = format!("the instance runs QEMU {} with disks on iothreads", self.version);
            return Err(Fault::UnsafeConfiguration { found });
        }
        has_drivers(monitor)?;
        Ok(disk)
    }

    fn no_leftovers(&self) -> Result<(), Fault> {
        let nodes = self.nodes.iter().map(|node| &node.name);
        let exports = self.exports.iter().map(|export| &export.id);
        let names: Vec<String> =
            nodes.chain(exports).filter(|name| name.starts_with(PREFIX)).map(String::clone).collect();
        if names.is_empty() { Ok(()) } else { Err(Fault::Leftovers { names }) }
    }

    /// The disks as the host wants them.
    pub(crate) fn describe_disks(&self, monitor: &mut Monitor<'_>) -> Result<Vec<Disk>, Fault> {
        let primary = self.primary().map(|disk| disk.device.as_str());
        let mut disks = Vec::new();
        for disk in self.disks.iter().filter(|disk| !disk.removable) {
            let mut facts = props([("backing-depth", &disk.backing_depth.to_string()), ("node", &disk.node)]);
            if let Some(allocated) = disk.allocated {
                facts.insert("allocated".to_owned(), allocated.to_string());
            }
            disks.push(Disk {
                id: disk.id().to_owned(),
                primary: primary == Some(disk.device.as_str()),
                virtual_size: disk.virtual_size,
                format: disk.format.clone(),
                bus: bus(monitor, disk)?,
                read_only: disk.read_only,
                iothread: on_iothread(monitor, disk)?,
                facts,
            });
        }
        Ok(disks)
    }
}

/// The power state, from QEMU's run state.
pub(crate) fn power(monitor: &mut Monitor<'_>) -> Result<Power, Fault> {
    let state: RunState = monitor.query("query-status")?;
    Ok(match state.status.as_str() {
        "running" => Power::Running,
        "paused" | "prelaunch" | "suspended" | "debug" | "watchdog" => Power::Paused,
        "io-error" => Power::IoError,
        "shutdown" => Power::Off,
        _ => Power::Unknown,
    })
}

/// All nodes of the block graph.
pub(crate) fn nodes(monitor: &mut Monitor<'_>) -> Result<Vec<Node>, Fault> {
    let nodes: Vec<BlockNode> = monitor.call("query-named-block-nodes", json!({ "flat": true }))?;
    Ok(nodes
        .into_iter()
        .map(|node| Node {
            name: node.node_name,
            virtual_size: node.image.virtual_size,
            allocated: node.image.actual_size.unwrap_or_default(),
        })
        .collect())
}

/// All block exports.
pub(crate) fn exports(monitor: &mut Monitor<'_>) -> Result<Vec<Export>, Fault> {
    monitor.query("query-block-exports")
}

/// Whether something in the guest holds the agent's port open. `None` where this is not known.
pub(crate) fn agent_port_open(monitor: &mut Monitor<'_>, label: &str) -> Result<Option<bool>, Fault> {
    let devices: Vec<CharacterDevice> = monitor.query("query-chardev")?;
    Ok(devices.iter().find(|device| device.label == label).map(|device| device.frontend_open))
}

fn property(monitor: &mut Monitor<'_>, disk: &FoundDisk, name: &str) -> Result<Option<String>, Fault> {
    match monitor.call::<serde_json::Value>("qom-get", json!({ "path": disk.device, "property": name })) {
        Ok(value) => Ok(value.as_str().map(str::to_owned)),
        // Not every device has every property.
        Err(Fault::Refused { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn on_iothread(monitor: &mut Monitor<'_>, disk: &FoundDisk) -> Result<bool, Fault> {
    Ok(property(monitor, disk, "iothread")?.is_some_and(|name| !name.is_empty()))
}

fn bus(monitor: &mut Monitor<'_>, disk: &FoundDisk) -> Result<String, Fault> {
    let device = property(monitor, disk, "type")?.unwrap_or_default();
    Ok(["virtio-blk", "scsi", "ide", "nvme"]
        .into_iter()
        .find(|bus| device.starts_with(bus))
        .map_or(device.clone(), str::to_owned))
}

fn has_drivers(monitor: &mut Monitor<'_>) -> Result<(), Fault> {
    let schema: Vec<SchemaEntry> = monitor.query("query-qmp-schema")?;
    let known = |driver: &str| schema.iter().any(|entry| entry.values.iter().any(|value| value == driver));
    match DRIVERS.into_iter().find(|driver| !known(driver)) {
        Some(feature) => Err(Fault::FeatureMissing { feature }),
        None => Ok(()),
    }
}
