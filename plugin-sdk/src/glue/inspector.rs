//! Inspectors.

use std::marker::PhantomData;

use super::{
    host::{HostBlob, HostSide},
    shapes::props_out,
};
use crate::{
    bindings::{
        host::imprint::{host::blobs, types::types as shapes},
        inspector::exports::imprint::inspector::inspector as wit,
    },
    host::InspectorHost,
    inspector::{
        Family, FileSystem, Findings, Firmware, Inspector, Medium, Partition, Presence, Scheme, System,
        Unread,
    },
};

/// What `export_inspector!` exports.
pub struct Exported<I>(PhantomData<I>);

impl<I: Inspector> wit::Guest for Exported<I> {
    fn inspect(disk: blobs::Blob, skip: Vec<u64>) -> Result<wit::Findings, shapes::Error> {
        let host = <dyn InspectorHost as HostSide>::side();
        Ok(I::inspect(host, Box::new(HostBlob::new(disk)), &skip)?.into())
    }
}

/// Closed vocabularies of both sides, spelled once.
macro_rules! vocabulary {
    ($($name:ident { $($value:ident)* })*) => {$(
        impl From<$name> for wit::$name {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$value => Self::$value,)*
                }
            }
        }
    )*};
}

vocabulary! {
    Scheme { None Mbr Gpt }
    Family { Linux Windows Bsd Other Unknown }
    Presence { Present Absent Unknown }
    Firmware { Bios Uefi Both Unknown }
    Medium { Disk Optical Hybrid }
}

impl From<Partition> for wit::Partition {
    fn from(partition: Partition) -> Self {
        let Partition { number, start, length, kind, name, bootable } = partition;
        Self { number, start, length, kind, name, bootable }
    }
}

impl From<FileSystem> for wit::FileSystem {
    fn from(found: FileSystem) -> Self {
        let FileSystem { offset, partition, kind, label, uuid, size, used, used_until, encrypted } = found;
        Self { offset, partition, kind, label, uuid, size, used, used_until, encrypted }
    }
}

impl From<System> for wit::System {
    fn from(system: System) -> Self {
        let System { family, distribution, version, name, edition, build, architecture } = system;
        Self { family: family.into(), distribution, version, name, edition, build, architecture }
    }
}

impl From<Unread> for wit::Unread {
    fn from(unread: Unread) -> Self {
        let Unread { offset, what, code, reason } = unread;
        Self { offset, what, code, reason }
    }
}

impl From<Findings> for wit::Findings {
    fn from(found: Findings) -> Self {
        Self {
            medium: found.medium.into(),
            scheme: found.scheme.into(),
            partitions: found.partitions.into_iter().map(Into::into).collect(),
            file_systems: found.file_systems.into_iter().map(Into::into).collect(),
            system: found.system.into(),
            cloud_init: found.cloud_init.into(),
            guest_agent: found.guest_agent.into(),
            ssh_server: found.ssh_server.into(),
            domain_controller: found.domain_controller.into(),
            boot_loaders: found.boot_loaders,
            firmware: found.firmware.into(),
            used_until: found.used_until,
            unread: found.unread.into_iter().map(Into::into).collect(),
            facts: props_out(found.facts),
        }
    }
}
