//! The tasks that work with images.

use std::collections::BTreeSet;

use imprint_domain::{
    id::{HypervisorId, ImageId, StorageId},
    task::TaskKind,
    time::Timestamp,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{TaskRecord, active, collect, row};
use crate::{Conn, StoreError};

/// Reads the queued and running tasks of a hypervisor that work with images of a storage, oldest
/// first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn active_with_images_of(
    conn: &Conn<'_>,
    hypervisor: HypervisorId,
    storage: StorageId,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::HypervisorId.eq(hypervisor.uuid()))
        .filter(active())
        .filter(row::Column::ImageId.is_not_null())
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    let mut found = Vec::new();
    for record in collect(rows)? {
        let Some(image) = record.task.image_id else { continue };
        let stored = crate::image::get(conn, image).await?;
        if stored.is_some_and(|stored| stored.image.storage_id == storage) {
            found.push(record);
        }
    }
    Ok(found)
}

/// Returns the images that are being moved, or wait for it.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn images_being_moved(conn: &Conn<'_>) -> Result<BTreeSet<ImageId>, StoreError> {
    let found: Vec<Option<Uuid>> = row::Entity::find()
        .select_only()
        .column(row::Column::ImageId)
        .filter(active())
        .filter(row::Column::Kind.eq(TaskKind::ImageMove.as_str()))
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(found.into_iter().flatten().map(ImageId::new).collect())
}

/// Returns which of those images a task works on, or worked on after `since`.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn worked_on_since(
    conn: &Conn<'_>,
    ids: &[ImageId],
    since: Timestamp,
) -> Result<BTreeSet<ImageId>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found: Vec<Option<Uuid>> = row::Entity::find()
        .select_only()
        .column(row::Column::ImageId)
        .filter(row::Column::ImageId.is_in(ids.iter().map(|id| id.uuid())))
        .filter(Condition::any().add(active()).add(row::Column::FinishedAt.gte(since)))
        .distinct()
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(found.into_iter().flatten().map(ImageId::new).collect())
}
