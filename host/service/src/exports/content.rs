//! The file of an export, for a client that downloads it.

use imprint_domain::{
    Error,
    export::{ExportPlace, ExportStatus, Sha256},
    id::{ExportId, ImageId},
};

use crate::{
    DownloadSource, Op, Service,
    change::Change,
    exports::{exportable, not_available, of_image},
};

/// The file of an export, and where its bytes are.
#[derive(Clone, Debug)]
pub struct ExportContent {
    /// Where the bytes are.
    pub source: DownloadSource,
    /// The name that the file gets.
    pub file_name: String,
    /// The media type of the file.
    pub media_type: &'static str,
    /// The SHA-256 of the file.
    pub sha256: Sha256,
}

impl Service {
    /// Returns where the bytes of an export are.
    ///
    /// # Errors
    ///
    /// As [`Service::export_list`]; [`imprint_domain::Code::ExportNotAvailable`] for one without a
    /// file here, and one whose time is over; [`imprint_domain::Code::HypervisorOffline`] and
    /// [`imprint_domain::Code::ObjectsNotServed`] where no agent serves its storage.
    pub async fn export_content(
        &self,
        op: &Op,
        image_id: ImageId,
        id: ExportId,
    ) -> Result<ExportContent, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = exportable(self, &conn, op, image_id).await?;
        let export = of_image(&conn, &record.image, id).await?;
        let ExportPlace::Storage(storage_id) = export.place else {
            return Err(not_available("it was written to a storage of your own; download it from there"));
        };
        match export.status {
            ExportStatus::Creating => return Err(not_available("it is still being made; wait for its task")),
            ExportStatus::Error => return Err(not_available("it could not be made; its task says why")),
            ExportStatus::Available if export.is_available(self.now()) => {}
            ExportStatus::Available | ExportStatus::Deleting => {
                return Err(not_available("its time is over; ask for it again"));
            }
        }
        let Some(stored) = export.stored else { return Err(Error::internal("an export without a file")) };
        let file_name = export.form.file_name(record.image.name.as_str());
        let source = self.object_source(storage_id, &export.key, file_name.clone(), op.request_id).await?;
        Ok(ExportContent { source, file_name, media_type: export.form.media_type(), sha256: stored.sha256 })
    }

    /// Writes the audit row of a download that begins, or of a client that is sent to the storage
    /// itself.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn export_downloaded(&self, op: &Op, id: ExportId) -> Result<(), Error> {
        let change = Change::begin(self).await?;
        change.audit(op, "export.download", id).await?;
        change.commit().await
    }
}
