//! ISOs.

use imprint_domain::{
    id::{IsoId, LocationId, StorageId, TaskId},
    iso::{Iso, StoredIso},
    size::ByteSize,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "isos")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub location_id: Uuid,
        pub storage_id: Uuid,
        pub storage_key: String,
        pub name: String,
        pub description: String,
        pub os_type: Option<String>,
        pub hidden: bool,
        pub status: String,
        pub size_bytes: Option<i64>,
        pub digest: Option<String>,
        pub label: Option<String>,
        pub task_id: Uuid,
        pub created_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The ISOs to list, oldest first.
#[derive(Clone, Debug, Default)]
pub struct IsoFilter {
    /// The location; `None` lists those of all.
    pub location_id: Option<LocationId>,
    /// Whether only those are listed that customers see.
    pub offered: bool,
    /// The last ISO of the previous page.
    pub after: Option<IsoId>,
    /// The most rows to return.
    pub limit: u32,
}

fn from_row(row: row::Model) -> Result<Iso, StoreError> {
    let stored = match (row.size_bytes, row.digest) {
        (Some(size), Some(digest)) => Some(StoredIso {
            size: codec::size("size_bytes", size)?,
            digest: codec::parse("digest", &digest)?,
            label: row.label.unwrap_or_default(),
        }),
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    Ok(Iso {
        id: IsoId::new(row.id),
        location_id: LocationId::new(row.location_id),
        storage_id: StorageId::new(row.storage_id),
        storage_key: row.storage_key,
        name: codec::name(&row.name)?,
        description: row.description,
        os_type: row.os_type.as_deref().map(|text| codec::parse("os_type", text)).transpose()?,
        hidden: row.hidden,
        status: codec::parse("status", &row.status)?,
        stored,
        task_id: TaskId::new(row.task_id),
        created_at: row.created_at,
    })
}

fn to_row(iso: &Iso) -> row::Model {
    row::Model {
        id: iso.id.uuid(),
        location_id: iso.location_id.uuid(),
        storage_id: iso.storage_id.uuid(),
        storage_key: iso.storage_key.clone(),
        name: iso.name.to_string(),
        description: iso.description.clone(),
        os_type: iso.os_type.map(|kind| kind.to_string()),
        hidden: iso.hidden,
        status: iso.status.to_string(),
        size_bytes: iso.stored.as_ref().map(|stored| ByteSize::as_i64(stored.size)),
        digest: iso.stored.as_ref().map(|stored| stored.digest.to_string()),
        label: iso.stored.as_ref().map(|stored| stored.label.clone()),
        task_id: iso.task_id.uuid(),
        created_at: iso.created_at,
    }
}

/// Reads the ISO of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: IsoId) -> Result<Option<Iso>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the ISO that a task registers, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_task(conn: &Conn<'_>, id: TaskId) -> Result<Option<Iso>, StoreError> {
    let found = row::Entity::find().filter(row::Column::TaskId.eq(id.uuid())).one(&conn.0).await?;
    found.map(from_row).transpose()
}

/// Reads a page of ISOs, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(conn: &Conn<'_>, filter: &IsoFilter) -> Result<Vec<Iso>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(filter.limit));
    if let Some(id) = filter.location_id {
        query = query.filter(row::Column::LocationId.eq(id.uuid()));
    }
    if filter.offered {
        query = query.filter(row::Column::Status.eq("available")).filter(row::Column::Hidden.eq(false));
    }
    if let Some(after) = filter.after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Counts the ISOs of a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_location(conn: &Conn<'_>, id: LocationId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::LocationId.eq(id.uuid())).count(&conn.0).await?)
}

/// Counts the ISOs whose files are on a storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_storage(conn: &Conn<'_>, id: StorageId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::StorageId.eq(id.uuid())).count(&conn.0).await?)
}

/// Reads the keys of the ISOs whose files are on a storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn keys_of_storage(conn: &Conn<'_>, id: StorageId) -> Result<Vec<String>, StoreError> {
    let query = row::Entity::find()
        .select_only()
        .column(row::Column::StorageKey)
        .filter(row::Column::StorageId.eq(id.uuid()));
    Ok(query.into_tuple().all(&conn.0).await?)
}

/// Adds an ISO.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the location has one of that name or of that file; [`StoreError`]
/// when the database fails.
pub async fn insert(tx: &WriteTx, iso: &Iso) -> Result<(), StoreError> {
    row::Entity::insert(to_row(iso).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes an ISO's row to what the value says.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the location has another one of that name; [`StoreError`] when
/// the database fails.
pub async fn update(tx: &WriteTx, iso: &Iso) -> Result<(), StoreError> {
    row::Entity::update(to_row(iso).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes an ISO that no instance has in its drive.
///
/// # Errors
///
/// [`StoreError`] when the database fails, or when something refers to the ISO.
pub async fn delete(tx: &WriteTx, id: IsoId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
