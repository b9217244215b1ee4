//! Conversions of exports.

use imprint_domain::size::ByteSize;
use imprint_service as service;

use crate::dto::export;

impl From<service::ExportView> for export::ImageExport {
    fn from(view: service::ExportView) -> Self {
        Self {
            id: view.id,
            image_id: view.image_id,
            format: view.format,
            variant: view.variant,
            compression: view.compression,
            status: view.status,
            destination_kind: view.destination_kind.map(|kind| kind.to_string()),
            destination_key: view.destination_key,
            file_name: view.file_name,
            media_type: view.media_type,
            size_bytes: view.size_bytes.map(ByteSize::bytes),
            sha256: view.sha256.map(|digest| digest.to_string()),
            stored_digest: view.stored_digest.map(|digest| digest.to_string()),
            virtual_size_bytes: view.virtual_size_bytes.bytes(),
            logical_digest: view.logical_digest.to_string(),
            task_id: view.task_id,
            created_at: view.created_at,
            available_at: view.available_at,
            expires_at: view.expires_at,
        }
    }
}

impl From<service::ExportTask> for export::ExportAndTask {
    fn from(made: service::ExportTask) -> Self {
        Self { export: made.export.into(), task: made.task.into() }
    }
}
