//! Image storages and their bindings.

use imprint_domain::{
    id::{HypervisorId, StorageId},
    storage::{ImageStorage, StorageRole},
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_storages")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub role: String,
        pub kind: String,
        pub settings: String,
        pub available_bytes: Option<i64>,
        pub total_bytes: Option<i64>,
        pub seen_at: Option<DateTimeUtc>,
        pub problem: Option<String>,
        pub created_at: DateTimeUtc,
        pub secrets_version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod binding {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_bindings")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub storage_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub hypervisor_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A storage with what an agent last reported about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRecord {
    /// The storage.
    pub storage: ImageStorage,
    /// Why it cannot be used; `None` when an agent can use it.
    pub problem: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

fn from_row(row: row::Model) -> Result<StorageRecord, StoreError> {
    Ok(StorageRecord {
        storage: ImageStorage {
            id: StorageId::new(row.id),
            name: codec::name(&row.name)?,
            role: codec::parse("role", &row.role)?,
            kind: codec::parse("kind", &row.kind)?,
            settings: codec::json("settings", &row.settings)?,
            available: codec::opt_size("available_bytes", row.available_bytes)?,
            total: codec::opt_size("total_bytes", row.total_bytes)?,
            seen_at: row.seen_at,
            secrets_version: codec::to_u64("secrets_version", row.secrets_version)?,
        },
        problem: row.problem,
        created_at: row.created_at,
    })
}

fn to_row(record: &StorageRecord) -> Result<row::Model, StoreError> {
    let storage = &record.storage;
    Ok(row::Model {
        id: storage.id.uuid(),
        name: storage.name.to_string(),
        role: storage.role.to_string(),
        kind: storage.kind.to_string(),
        settings: codec::to_json("settings", &storage.settings)?,
        available_bytes: storage.available.map(|size| size.as_i64()),
        total_bytes: storage.total.map(|size| size.as_i64()),
        seen_at: storage.seen_at,
        problem: record.problem.clone(),
        created_at: record.created_at,
        secrets_version: codec::to_i64(storage.secrets_version),
    })
}

/// Reads the storage of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: StorageId) -> Result<Option<StorageRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the storage of that name, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_name(conn: &Conn<'_>, name: &str) -> Result<Option<StorageRecord>, StoreError> {
    let found = row::Entity::find().filter(row::Column::Name.eq(name)).one(&conn.0).await?;
    found.map(from_row).transpose()
}

/// Reads a page of storages, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    after: Option<StorageId>,
    limit: u32,
) -> Result<Vec<StorageRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads the storages that a hypervisor uses, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(conn: &Conn<'_>, id: HypervisorId) -> Result<Vec<StorageRecord>, StoreError> {
    let bound =
        binding::Entity::find().filter(binding::Column::HypervisorId.eq(id.uuid())).all(&conn.0).await?;
    let rows = row::Entity::find()
        .filter(row::Column::Id.is_in(bound.into_iter().map(|bound| bound.storage_id)))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads the storages of a role that a hypervisor uses, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor_with_role(
    conn: &Conn<'_>,
    id: HypervisorId,
    role: StorageRole,
) -> Result<Vec<ImageStorage>, StoreError> {
    let all = of_hypervisor(conn, id).await?;
    Ok(all.into_iter().map(|record| record.storage).filter(|storage| storage.role == role).collect())
}

/// Reads the ids of the hypervisors that use a storage, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn bound_hypervisors(conn: &Conn<'_>, id: StorageId) -> Result<Vec<HypervisorId>, StoreError> {
    let rows = binding::Entity::find()
        .filter(binding::Column::StorageId.eq(id.uuid()))
        .order_by_asc(binding::Column::HypervisorId)
        .all(&conn.0)
        .await?;
    Ok(rows.into_iter().map(|row| HypervisorId::new(row.hypervisor_id)).collect())
}

/// Adds a storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &StorageRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a storage's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &StorageRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record)?.into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Binds a storage to a hypervisor; a second time changes nothing.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn bind(tx: &WriteTx, id: StorageId, hypervisor_id: HypervisorId) -> Result<(), StoreError> {
    let row = binding::Model { storage_id: id.uuid(), hypervisor_id: hypervisor_id.uuid() };
    binding::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::columns([binding::Column::StorageId, binding::Column::HypervisorId])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}
