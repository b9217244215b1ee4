//! Media groups.

use std::collections::BTreeSet;

use imprint_domain::{id::MediaGroupId, media_group::MediaGroup};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, sea_query::SelectStatement,
};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "media_groups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub label: String,
        pub description: String,
        pub position: i64,
        pub hidden: bool,
        pub created_at: DateTimeUtc,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn from_row(row: row::Model) -> Result<MediaGroup, StoreError> {
    Ok(MediaGroup {
        id: MediaGroupId::new(row.id),
        label: codec::name(&row.label)?,
        description: row.description,
        position: codec::to_u32("position", row.position)?,
        hidden: row.hidden,
        created_at: row.created_at,
        version: codec::to_u32("version", row.version)?,
    })
}

fn to_row(group: &MediaGroup) -> row::Model {
    row::Model {
        id: group.id.uuid(),
        label: group.label.to_string(),
        description: group.description.clone(),
        position: i64::from(group.position),
        hidden: group.hidden,
        created_at: group.created_at,
        version: i64::from(group.version),
    }
}

/// Reads the media group of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: MediaGroupId) -> Result<Option<MediaGroup>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads all media groups in their order.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn all(conn: &Conn<'_>) -> Result<Vec<MediaGroup>, StoreError> {
    let query = row::Entity::find().order_by_asc(row::Column::Position).order_by_asc(row::Column::Id);
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads the ids of the groups whose images are not offered to customers.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn hidden(conn: &Conn<'_>) -> Result<BTreeSet<MediaGroupId>, StoreError> {
    let query =
        row::Entity::find().select_only().column(row::Column::Id).filter(row::Column::Hidden.eq(true));
    let ids: Vec<Uuid> = query.into_tuple().all(&conn.0).await?;
    Ok(ids.into_iter().map(MediaGroupId::new).collect())
}

/// Selects the ids of the groups whose images are not offered to customers.
pub(crate) fn hidden_ids() -> SelectStatement {
    row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::Hidden.eq(true))
        .into_query()
}

/// Adds a media group.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when another one has its label; [`StoreError`] when the database
/// fails.
pub async fn insert(tx: &WriteTx, group: &MediaGroup) -> Result<(), StoreError> {
    row::Entity::insert(to_row(group).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a media group's row.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when another one has its label; [`StoreError`] when the database
/// fails.
pub async fn update(tx: &WriteTx, group: &MediaGroup) -> Result<(), StoreError> {
    row::Entity::update(to_row(group).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a media group that no image is in.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: MediaGroupId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
