//! Conversions of locations and hypervisors.

use imprint_domain::size::ByteSize;
use imprint_service as service;

use crate::dto::{hypervisor, location};

impl From<service::LocationView> for location::Location {
    fn from(view: service::LocationView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            images_enabled: view.images_enabled,
            sharing_enabled: view.sharing_enabled,
            iso_enabled: view.iso_enabled,
            import_enabled: view.import.enabled,
            import_profile: view.import.profile,
            import_limit_bytes: view.import.largest_disk.bytes(),
            import_windows: view.import.windows,
            export_enabled: view.export_enabled,
            capture_format: view.capture_format,
            limits: view.limits.into(),
        }
    }
}

impl From<service::LocationView> for location::AdminLocation {
    fn from(view: service::LocationView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            images_enabled: view.images_enabled,
            sharing_enabled: view.sharing_enabled,
            iso_enabled: view.iso_enabled,
            export_enabled: view.export_enabled,
            default_image_limit: view.default_image_limit,
            default_image_bytes_limit: view.default_image_bytes_limit.map(ByteSize::bytes),
            coalesce_before_capture: view.coalesce_before_capture,
            coalesce_timeout_s: view.coalesce_timeout_s,
            freeze_limit_ms: view.freeze_limit_ms,
            import_enabled: view.import.enabled,
            import_profile: view.import.profile,
            import_limit_bytes: view.import.largest_disk.bytes(),
            import_windows: view.import.windows,
            reclaim_limit_s: view.reclaim_limit_s,
            capture_format: view.capture_format,
            windows_limit_bytes: view.windows_limit.bytes(),
            windows_warning_bytes: view.windows_warning.bytes(),
            support_text: view.support_text.map(Into::into),
            support_url: view.support_url.map(Into::into),
            status_url: view.status_url.map(Into::into),
            version: view.version,
        }
    }
}

impl From<service::LimitsView> for location::Limits {
    fn from(view: service::LimitsView) -> Self {
        Self { location_id: view.location_id, limits: view.limits.into() }
    }
}

impl From<service::QuotaView> for location::ImageLimits {
    fn from(view: service::QuotaView) -> Self {
        Self {
            image_limit: view.image_limit,
            images_used: view.images_used,
            image_limit_scope: view.image_limit_scope,
            image_bytes_limit: view.image_bytes_limit.map(ByteSize::bytes),
            image_bytes_used: view.image_bytes_used.bytes(),
            image_bytes_limit_scope: view.image_bytes_limit_scope,
        }
    }
}

impl From<service::HypervisorView> for hypervisor::Hypervisor {
    fn from(view: service::HypervisorView) -> Self {
        Self { id: view.id, name: view.name.to_string(), location_id: view.location_id, online: view.online }
    }
}

impl From<service::AdminHypervisorView> for hypervisor::AdminHypervisor {
    fn from(view: service::AdminHypervisorView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            location_id: view.location_id,
            driver: view.driver.to_string(),
            driver_settings: view.driver_settings,
            max_work: view.max_work,
            max_captures: view.max_captures,
            limited_imaging_bandwidth: view.limited_bandwidth,
            online: view.online,
            last_seen_at: view.last_seen_at,
            agent_version: view.agent_version,
            plugins: view.plugins,
            findings: view.findings,
            object_address: view.object_address,
            storage_ids: view.storage_ids,
            version: view.version,
        }
    }
}
