//! The end of every request that makes an image: its answer, which is kept for a repetition.

use imprint_domain::{Error, windows::CaptureNotice};
use imprint_store::{image::ImageRecord, task::TaskRecord};

use crate::{ImageTask, Op, change::Change, idempotency, images::view::view, tasks::task::view as task_view};

/// Returns the answer with the image and its task, remembers it, and commits.
///
/// # Errors
///
/// An error of the database.
pub(super) async fn answer(
    change: Change<'_>,
    op: &Op,
    record: &ImageRecord,
    task: &TaskRecord,
    notices: Vec<CaptureNotice>,
) -> Result<ImageTask, Error> {
    let task = task_view(&change.conn(), task, change.now).await?;
    let image = view(&change.conn(), op, record).await?;
    let answer = ImageTask { image, task, notices, replayed: false };
    idempotency::remember(&change, op, &answer).await?;
    change.commit().await?;
    Ok(answer)
}
