//! Exports as they are shown.

use imprint_domain::{
    digest::{LogicalDigest, StoredDigest},
    export::{DiskVariant, Export, ExportPlace, ExportStatus, Sha256},
    id::{ExportId, ImageId, TaskId},
    image::{Compression, Image, ImageFormat},
    plugin_kind::StorageKind,
    size::ByteSize,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// The properties of an export. The settings and secrets of a destination are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportView {
    /// The export's id.
    pub id: ExportId,
    /// The image.
    pub image_id: ImageId,
    /// The format of the file.
    pub format: ImageFormat,
    /// The variant of a VHD.
    pub variant: Option<DiskVariant>,
    /// The encoding of a qcow2 file.
    pub compression: Option<Compression>,
    /// The status.
    pub status: ExportStatus,
    /// The kind of the storage of its owner that the file is written to; `None` for a download.
    pub destination_kind: Option<StorageKind>,
    /// The key of the file in that storage.
    pub destination_key: Option<String>,
    /// The name that the file gets when it is downloaded.
    pub file_name: String,
    /// The media type of the file.
    pub media_type: String,
    /// The size of the file, once it is complete.
    pub size_bytes: Option<ByteSize>,
    /// The SHA-256 of the file, once it is complete.
    pub sha256: Option<Sha256>,
    /// The digest of the file, once it is complete.
    pub stored_digest: Option<StoredDigest>,
    /// The size of the disk in bytes.
    pub virtual_size_bytes: ByteSize,
    /// The digest of the disk: that of the image.
    pub logical_digest: LogicalDigest,
    /// The last task that worked on it.
    pub task_id: TaskId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its file was complete.
    pub available_at: Option<Timestamp>,
    /// When it is removed.
    pub expires_at: Timestamp,
}

/// Returns an export as its owner sees it.
pub(crate) fn view(export: &Export, image: &Image) -> ExportView {
    let (destination_kind, destination_key) = match &export.place {
        ExportPlace::Storage(_) => (None, None),
        ExportPlace::Destination(kind) => (Some(kind.clone()), Some(export.key.clone())),
    };
    let stored = export.stored.as_ref();
    ExportView {
        id: export.id,
        image_id: export.image_id,
        format: export.form.format,
        variant: export.form.variant,
        compression: export.form.compression,
        status: export.status,
        destination_kind,
        destination_key,
        file_name: export.form.file_name(image.name.as_str()),
        media_type: export.form.media_type().to_owned(),
        size_bytes: stored.map(|stored| stored.size),
        sha256: stored.map(|stored| stored.sha256.clone()),
        stored_digest: stored.map(|stored| stored.digest.clone()),
        virtual_size_bytes: export.virtual_size,
        logical_digest: export.logical_digest.clone(),
        task_id: export.task_id,
        created_at: export.created_at,
        available_at: export.available_at,
        expires_at: export.expires_at,
    }
}
