//! What was found inside of the disk of an image.

use imprint_domain::{
    Error,
    findings::{DiskFindings, ImageNotice},
    id::ImageId,
    time::Timestamp,
};
use imprint_store::{image, image_findings};
use serde::{Deserialize, Serialize};

use crate::{Op, Service, db_result::DbResult, images::view::of_account, tasks::task::Audience};

/// What was found inside of an image's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFindingsView {
    /// When the disk was looked into; `None` where nothing has.
    pub inspected_at: Option<Timestamp>,
    /// What was found; `None` where nothing has looked.
    pub findings: Option<DiskFindings>,
    /// What one has to know before an instance is made of the image, the most serious first.
    pub notices: Vec<ImageNotice>,
}

impl Service {
    /// Returns what was found inside of the disk of an image that is visible to the actor (X5).
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn image_findings(&self, op: &Op, id: ImageId) -> Result<ImageFindingsView, Error> {
        op.require_read()?;
        let (conn, now) = (self.read(), self.now());
        let record = image::get(&conn, id).await.db()?.ok_or_else(|| Error::not_found("image"))?;
        let seen = of_account(&conn, &record, op.account_id(), Audience::of(op), now).await?;
        seen.ok_or_else(|| Error::not_found("image"))?;
        let (inspected_at, findings) = image_findings::get(&conn, id).await.db()?.unzip();
        let said = record.image.guest;
        let notices = findings.as_ref().map(|found: &DiskFindings| found.notices(said)).unwrap_or_default();
        Ok(ImageFindingsView { inspected_at, findings, notices })
    }
}
