//! Changes of a running instance's devices, for drivers that export them.

use std::path::Path;

use imprint_ports::{DiskSpec, ErrorClass, PortError};

use super::{ComponentDriver, Opened, Subject, convert::utf8};
use crate::{
    bindings::devices::{Changing, exports::imprint::hypervisor::devices as wit},
    instance::{call, port_error},
};

/// The code of a driver that does not change devices.
const UNSUPPORTED: &str = "devices_not_supported";

fn device(disk: &DiskSpec) -> Result<wit::Device, PortError> {
    Ok(wit::Device {
        path: utf8(&disk.path)?,
        format: disk.format.clone(),
        read_only: disk.read_only,
        serial: disk.serial.clone(),
    })
}

impl ComponentDriver {
    async fn start_changing(&self, vm_id: &str, paths: &[&Path]) -> Result<(Opened, Changing), PortError> {
        let Some(devices) = &self.devices else {
            let text = format!("the driver {} cannot change devices", self.plugin.manifest.id);
            return Err(PortError::host(ErrorClass::Unsupported, UNSUPPORTED, text));
        };
        let mut opened = self.open(Subject { paths, ..Subject::vm(vm_id) }).await?;
        let bindings = call!(opened.instance, "start", |store| devices.instantiate_async(store))?;
        Ok((opened, bindings))
    }

    /// Ends a call, and returns its answer.
    async fn changed(
        &self,
        opened: Opened,
        answer: Result<Result<(), wit::Error>, PortError>,
    ) -> Result<(), PortError> {
        opened.end().await;
        answer?.map_err(|error| port_error(&self.plugin.context, &error))
    }

    pub(super) async fn change_medium_of(
        &self,
        vm_id: &str,
        medium: Option<&DiskSpec>,
    ) -> Result<(), PortError> {
        let to_plugin = medium.map(device).transpose()?;
        let paths: Vec<&Path> = medium.iter().map(|medium| medium.path.as_path()).collect();
        let (mut opened, bindings) = self.start_changing(vm_id, &paths).await?;
        let devices = bindings.imprint_hypervisor_devices();
        let answer = call!(opened.instance, "change-medium", |store| devices.call_change_medium(
            store,
            vm_id,
            to_plugin.as_ref()
        ));
        self.changed(opened, answer).await
    }

    pub(super) async fn attach_disk_to(&self, vm_id: &str, disk: &DiskSpec) -> Result<(), PortError> {
        let to_plugin = device(disk)?;
        let (mut opened, bindings) = self.start_changing(vm_id, &[&disk.path]).await?;
        let devices = bindings.imprint_hypervisor_devices();
        let answer =
            call!(opened.instance, "attach-disk", |store| devices.call_attach_disk(store, vm_id, &to_plugin));
        self.changed(opened, answer).await
    }

    pub(super) async fn detach_disk_from(&self, vm_id: &str, serial: &str) -> Result<(), PortError> {
        let (mut opened, bindings) = self.start_changing(vm_id, &[]).await?;
        let devices = bindings.imprint_hypervisor_devices();
        let answer =
            call!(opened.instance, "detach-disk", |store| devices.call_detach_disk(store, vm_id, serial));
        self.changed(opened, answer).await
    }
}
