//! Exports of images: asked for, shown, downloaded, and removed when their time is over (S78, S90,
//! S91, S135).

pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod metrics;
mod place;
mod remove;
pub(crate) mod view;

use imprint_domain::{
    Code, Error,
    export::{Export, ExportStatus},
    id::{AccountId, ExportId, ImageId},
    image::{Image, ImageKind},
};
use imprint_store::{Conn, export, image::ImageRecord};

use crate::{
    Op, Page, PageRequest, Service,
    change::Change,
    db_result::DbResult,
    exports::view::{ExportView, view},
    images::image::load_for_update,
    page::Listing,
    tasks::lifecycle::invalid_transition,
};

/// Reads an image whose exports the actor may see and ask for: its own one, or for an admin any.
async fn exportable(service: &Service, conn: &Conn<'_>, op: &Op, id: ImageId) -> Result<ImageRecord, Error> {
    load_for_update(conn, op, id, None, service.now()).await
}

/// Reads an export of an image that must exist.
async fn of_image(conn: &Conn<'_>, image: &Image, id: ExportId) -> Result<Export, Error> {
    let found = export::get(conn, id).await.db()?;
    found.filter(|export| export.image_id == image.id).ok_or_else(|| Error::not_found("export"))
}

impl Service {
    /// Returns a page of the exports of an image, oldest first. For the image's owner; those of
    /// stock images for admins.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for an image that is shared with the account;
    /// [`Code::NotFound`] for what does not exist or is not visible; an error of the database.
    pub async fn export_list(
        &self,
        op: &Op,
        image_id: ImageId,
        page: &PageRequest,
    ) -> Result<Page<ExportView>, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = exportable(self, &conn, op, image_id).await?;
        let listing = Listing::new(page, &format!("exports {image_id}"))?;
        let rows = export::of_image(&conn, image_id, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |export| export.id)?;
        let items = rows.iter().map(|export| view(export, &record.image)).collect();
        Ok(Page { items, next_page_token })
    }

    /// Returns one export of an image.
    ///
    /// # Errors
    ///
    /// As [`Service::export_list`].
    pub async fn export_show(&self, op: &Op, image_id: ImageId, id: ExportId) -> Result<ExportView, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = exportable(self, &conn, op, image_id).await?;
        Ok(view(&of_image(&conn, &record.image, id).await?, &record.image))
    }

    /// Removes an export: its file goes with a task. What was written to a storage of its owner
    /// stays there. Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Service::export_list`]; [`Code::InvalidTransition`] while it is being made.
    pub async fn export_delete(&self, op: &Op, image_id: ImageId, id: ExportId) -> Result<(), Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let record = exportable(self, &change.conn(), op, image_id).await?;
        let found = of_image(&change.conn(), &record.image, id).await?;
        match found.status {
            ExportStatus::Creating => {
                return Err(invalid_transition("the export is being made; cancel its task instead"));
            }
            ExportStatus::Deleting => return Ok(()),
            ExportStatus::Available | ExportStatus::Error => {}
        }
        remove::remove(&mut change, found, op.request_id).await?;
        change.audit(op, "export.delete", id).await?;
        change.commit().await
    }
}

/// Refuses what has no file that can be downloaded.
fn not_available(detail: &str) -> Error {
    Error::new(Code::ExportNotAvailable, detail)
}

/// Returns the account that an export of an image belongs to.
fn owner(op: &Op, image: &Image) -> AccountId {
    match image.kind {
        ImageKind::Custom => image.account_id,
        ImageKind::Stock => op.account_id(),
    }
}
