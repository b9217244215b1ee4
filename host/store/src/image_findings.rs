//! What was found inside of the disks of images: at most one row for each image.

use imprint_domain::{findings::DiskFindings, id::ImageId, time::Timestamp};
use sea_orm::{EntityTrait, IntoActiveModel, sea_query::OnConflict};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_findings")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image_id: Uuid,
        pub inspected_at: DateTimeUtc,
        pub findings: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Reads what was found inside of an image, and when; `None` where nothing has looked.
///
/// # Errors
///
/// [`StoreError`] when the database fails or the row is no findings.
pub async fn get(conn: &Conn<'_>, id: ImageId) -> Result<Option<(Timestamp, DiskFindings)>, StoreError> {
    let Some(row) = row::Entity::find_by_id(id.uuid()).one(&conn.0).await? else { return Ok(None) };
    Ok(Some((row.inspected_at, codec::json("findings", &row.findings)?)))
}

/// Writes what was found inside of an image, instead of what was found before. The image's row is
/// there.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(
    tx: &WriteTx,
    id: ImageId,
    inspected_at: Timestamp,
    findings: &DiskFindings,
) -> Result<(), StoreError> {
    let findings = codec::to_json("findings", findings)?;
    let row = row::Model { image_id: id.uuid(), inspected_at, findings };
    let replaced = OnConflict::column(row::Column::ImageId)
        .update_columns([row::Column::InspectedAt, row::Column::Findings])
        .to_owned();
    row::Entity::insert(row.into_active_model()).on_conflict(replaced).exec_without_returning(&tx.0).await?;
    Ok(())
}
