//! Drivers that change the devices of running instances.

use std::marker::PhantomData;

use super::host::HypervisorSide;
use crate::{
    bindings::{
        devices::exports::imprint::hypervisor::devices as wit, host::imprint::types::types as shapes,
    },
    hypervisor::{Devices, DiskSpec},
};

/// What `export_hypervisor_with_devices!` exports besides the driver itself.
pub struct DeviceChanges<H>(PhantomData<H>);

fn spec(device: wit::Device) -> DiskSpec {
    DiskSpec { path: device.path, format: device.format, read_only: device.read_only, serial: device.serial }
}

impl<H: Devices> wit::Guest for DeviceChanges<H> {
    fn change_medium(vm_id: String, medium: Option<wit::Device>) -> Result<(), shapes::Error> {
        Ok(H::change_medium(&HypervisorSide, &vm_id, medium.map(spec).as_ref())?)
    }

    fn attach_disk(vm_id: String, disk: wit::Device) -> Result<(), shapes::Error> {
        Ok(H::attach_disk(&HypervisorSide, &vm_id, &spec(disk))?)
    }

    fn detach_disk(vm_id: String, serial: String) -> Result<(), shapes::Error> {
        Ok(H::detach_disk(&HypervisorSide, &vm_id, &serial)?)
    }
}
