//! Images as scans of image storages compare them.

use std::collections::BTreeMap;

use imprint_domain::{
    id::{ImageId, InstanceId, StorageId},
    image::ImageStatus,
    storage_scan::ImageReference,
};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, sea_query::SelectStatement,
};

use super::row;
use crate::{Conn, StoreError, codec, instance};

/// Selects the ids of the images that are not being removed.
pub(crate) fn ids_that_stay() -> SelectStatement {
    row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::Status.ne(ImageStatus::Deleting.as_str()))
        .into_query()
}

/// Reads the images of a storage whose file has one of those keys, as scans compare them.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn references_of_keys(
    conn: &Conn<'_>,
    storage: StorageId,
    keys: &[&str],
) -> Result<BTreeMap<String, ImageReference>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::StorageId.eq(storage.uuid()))
        .filter(row::Column::StorageKey.is_in(keys.iter().copied()))
        .all(&conn.0)
        .await?;
    Ok(references(conn, rows).await?.into_iter().collect())
}

/// Reads a page of the images of a storage in the order of their ids, with the keys of their files.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn references_of_storage(
    conn: &Conn<'_>,
    storage: StorageId,
    after: Option<ImageId>,
    limit: u32,
) -> Result<Vec<(String, ImageReference)>, StoreError> {
    let mut query = row::Entity::find().filter(row::Column::StorageId.eq(storage.uuid()));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    let rows = query.order_by_asc(row::Column::Id).limit(u64::from(limit)).all(&conn.0).await?;
    references(conn, rows).await
}

async fn references(
    conn: &Conn<'_>,
    rows: Vec<row::Model>,
) -> Result<Vec<(String, ImageReference)>, StoreError> {
    let sources: Vec<InstanceId> =
        rows.iter().filter_map(|row| row.source_instance_id.map(InstanceId::new)).collect();
    let there = instance::existing(conn, &sources).await?;
    rows.into_iter()
        .map(|row| {
            let gone = |id| !there.contains(&InstanceId::new(id));
            let reference = ImageReference {
                id: ImageId::new(row.id),
                status: codec::parse("status", &row.status)?,
                size: codec::opt_size("size_bytes", row.size_bytes)?,
                stored_digest: row
                    .stored_digest
                    .as_deref()
                    .map(|text| codec::parse("stored_digest", text))
                    .transpose()?,
                source_is_gone: row.source_instance_id.is_some_and(gone),
            };
            Ok((row.storage_key, reference))
        })
        .collect()
}
