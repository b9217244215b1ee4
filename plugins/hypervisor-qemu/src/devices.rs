//! Devices of a running instance: the medium in its drive, and further disks.
//!
//! A device is found again by its name, which is made of the serial that the guest sees. So every
//! function can be called again after it was cut short.

use imprint_plugin_sdk::{
    host::HypervisorHost,
    hypervisor::{DiskSpec, MEDIUM_SERIAL},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{block, error::Fault, monitor::Monitor, survey::PRIMARY_DEVICE};

/// The drive whose medium changes.
pub(crate) const DRIVE: &str = "cdm";
/// The number of ports for further disks on a machine whose root bus takes none while it runs.
pub(crate) const PORTS: usize = 7;
/// The longest time that a guest may take to release a disk.
const RELEASE_MS: u32 = 20_000;

#[derive(Deserialize)]
struct Property {
    name: String,
}

/// The names of a further disk: its device, and the node of its content.
pub(crate) fn device_name(serial: &str) -> String {
    format!("vdisk-{serial}")
}

pub(crate) fn node_name(serial: &str) -> String {
    format!("disk-{serial}")
}

/// The port with that number, from 1 on.
pub(crate) fn port_name(number: usize) -> String {
    format!("port{number}")
}

/// Puts a medium into the drive instead of what is in it, or only ejects.
pub(crate) fn change_medium(
    host: &dyn HypervisorHost,
    vm: &str,
    medium: Option<&DiskSpec>,
) -> Result<(), Fault> {
    let mut monitor = Monitor::connect(host, vm)?;
    if !exists(&mut monitor, DRIVE)? {
        return Err(Fault::NoHotPlug { what: "CD" });
    }
    // The guest may have locked the tray; the owner of the machine decides.
    monitor.run("blockdev-open-tray", json!({ "id": DRIVE, "force": true }))?;
    monitor.run("blockdev-remove-medium", json!({ "id": DRIVE }))?;
    remove_nodes(&mut monitor, MEDIUM_SERIAL)?;
    if let Some(medium) = medium {
        let medium = DiskSpec { read_only: true, ..medium.clone() };
        add_nodes(&mut monitor, MEDIUM_SERIAL, &medium)?;
        let inserted = json!({ "id": DRIVE, "node-name": MEDIUM_SERIAL });
        if let Err(fault) = monitor.run("blockdev-insert-medium", inserted) {
            remove_nodes(&mut monitor, MEDIUM_SERIAL)?;
            return Err(fault);
        }
    }
    monitor.run("blockdev-close-tray", json!({ "id": DRIVE }))
}

/// Attaches a disk, unless it is there.
pub(crate) fn attach_disk(host: &dyn HypervisorHost, vm: &str, disk: &DiskSpec) -> Result<(), Fault> {
    block::check_serial(&disk.serial)?;
    if disk.serial.is_empty() {
        return Err(Fault::Invalid { what: "disk serial", problem: "a further disk has one".to_owned() });
    }
    let mut monitor = Monitor::connect(host, vm)?;
    let (device, node) = (device_name(&disk.serial), node_name(&disk.serial));
    if exists(&mut monitor, &device)? {
        return Ok(());
    }
    require_virtio(&mut monitor)?;
    remove_nodes(&mut monitor, &node)?;
    add_nodes(&mut monitor, &node, disk)?;
    let added = add_device(&mut monitor, &device, &node, &disk.serial);
    if added.is_err() {
        remove_nodes(&mut monitor, &node)?;
    }
    added
}

/// Detaches a disk if it is there, and waits until the guest has released it.
pub(crate) fn detach_disk(host: &dyn HypervisorHost, vm: &str, serial: &str) -> Result<(), Fault> {
    let mut monitor = Monitor::connect(host, vm)?;
    let device = device_name(serial);
    if exists(&mut monitor, &device)? {
        require_virtio(&mut monitor)?;
        monitor.forget_events();
        monitor.run("device_del", json!({ "id": device }))?;
        let gone = |event: &crate::monitor::Event| {
            event.name == "DEVICE_DELETED" && event.id.as_deref() == Some(device.as_str())
        };
        if !monitor.wait_event(gone, RELEASE_MS)? {
            return Err(Fault::DiskHeld);
        }
    }
    remove_nodes(&mut monitor, &node_name(serial))
}

fn add_nodes(monitor: &mut Monitor<'_>, node: &str, disk: &DiskSpec) -> Result<(), Fault> {
    let [below, above] = block::nodes(node, disk)?;
    monitor.run("blockdev-add", below)?;
    if let Err(fault) = monitor.run("blockdev-add", above) {
        remove_nodes(monitor, node)?;
        return Err(fault);
    }
    Ok(())
}

/// Removes the node of a content and the one of its file, where they are there.
fn remove_nodes(monitor: &mut Monitor<'_>, node: &str) -> Result<(), Fault> {
    let nodes = crate::survey::nodes(monitor)?;
    for name in [node.to_owned(), format!("{node}-file")] {
        if nodes.iter().any(|found| found.name == name) {
            monitor.run("blockdev-del", json!({ "node-name": name }))?;
        }
    }
    Ok(())
}

/// Adds the device where there is a place: on the root bus, or else on a port.
fn add_device(monitor: &mut Monitor<'_>, device: &str, node: &str, serial: &str) -> Result<(), Fault> {
    let wanted = json!({ "driver": "virtio-blk-pci", "id": device, "drive": node, "serial": serial });
    if !exists(monitor, &port_name(1))? {
        return monitor.run("device_add", wanted);
    }
    let mut last = Fault::NoHotPlug { what: "disk" };
    for number in 1..=PORTS {
        let mut on_port = wanted.clone();
        on_port["bus"] = json!(port_name(number));
        match monitor.run("device_add", on_port) {
            // The port has a disk already.
            Err(fault @ Fault::Refused { .. }) => last = fault,
            done => return done,
        }
    }
    Err(last)
}

/// Whether the machine has a device of that name.
fn exists(monitor: &mut Monitor<'_>, name: &str) -> Result<bool, Fault> {
    let devices: Vec<Property> = monitor.call("qom-list", json!({ "path": "/machine/peripheral" }))?;
    Ok(devices.iter().any(|device| device.name == name))
}

/// Refuses a machine whose disks are on a controller that takes none while it runs.
fn require_virtio(monitor: &mut Monitor<'_>) -> Result<(), Fault> {
    let primary = format!("/machine/peripheral/{PRIMARY_DEVICE}");
    let kind: Value = monitor.call("qom-get", json!({ "path": primary, "property": "type" }))?;
    if kind.as_str().is_some_and(|kind| kind.starts_with("virtio-blk")) {
        return Ok(());
    }
    Err(Fault::NoHotPlug { what: "disk" })
}
