//! Conversions of ISOs.

use imprint_domain::size::ByteSize;
use imprint_service as service;

use crate::dto::iso;

impl From<service::IsoView> for iso::Iso {
    fn from(view: service::IsoView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            description: view.description,
            os_type: view.os_type,
            location_id: view.location_id,
            size_bytes: view.size_bytes.map(ByteSize::bytes),
            created_at: view.created_at,
        }
    }
}

impl From<service::IsoView> for iso::AdminIso {
    fn from(view: service::IsoView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            description: view.description,
            os_type: view.os_type,
            location_id: view.location_id,
            status: view.status,
            hidden: view.hidden,
            storage_id: view.storage_id,
            key: view.key,
            size_bytes: view.size_bytes.map(ByteSize::bytes),
            digest: view.digest.map(|digest| digest.to_string()),
            label: view.label,
            task_id: view.task_id,
            created_at: view.created_at,
        }
    }
}

impl From<service::IsoTask> for iso::IsoAndTask {
    fn from(made: service::IsoTask) -> Self {
        Self { iso: made.iso.into(), task: made.task.into() }
    }
}

impl From<service::MountedIso> for iso::MountedIso {
    fn from(mounted: service::MountedIso) -> Self {
        Self { id: mounted.id, name: mounted.name.to_string(), boot_from_cd: mounted.boot_from_cd }
    }
}
