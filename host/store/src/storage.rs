//! Image storages and their bindings.

use imprint_domain::{
    id::{HypervisorId, StorageId},
    plugin_kind::StorageKind,
    storage::{ImageStorage, StorageRole, StorageState, Weight},
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
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
        pub state: String,
        pub weight: i64,
        pub shared_path: bool,
        pub min_free_bytes: Option<i64>,
        pub drain_to: Option<Uuid>,
        pub version: i64,
        pub marked_at: Option<DateTimeUtc>,
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

/// A storage with its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRecord {
    /// The storage.
    pub storage: ImageStorage,
    /// When an agent first opened it: its folder has its marker since then.
    pub marked_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The storages to list.
#[derive(Clone, Debug, Default)]
pub struct StorageFilter {
    /// The role, if only one is listed.
    pub role: Option<StorageRole>,
    /// The state, if only one is listed.
    pub state: Option<StorageState>,
    /// The kind, if only one is listed.
    pub kind: Option<StorageKind>,
    /// The hypervisor that they are bound to, if only those are listed.
    pub hypervisor_id: Option<HypervisorId>,
}

/// A storage is bound to a hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The storage.
    pub storage_id: StorageId,
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
}

fn weight(number: i64) -> Result<Weight, StoreError> {
    Weight::new(codec::to_u32("weight", number)?).map_err(|error| codec::corrupt("weight", error))
}

fn from_row(row: row::Model) -> Result<StorageRecord, StoreError> {
    Ok(StorageRecord {
        storage: ImageStorage {
            id: StorageId::new(row.id),
            name: codec::name(&row.name)?,
            role: codec::parse("role", &row.role)?,
            kind: codec::parse("kind", &row.kind)?,
            settings: codec::json("settings", &row.settings)?,
            secrets_version: codec::to_u64("secrets_version", row.secrets_version)?,
            state: codec::parse("state", &row.state)?,
            weight: weight(row.weight)?,
            shared_path: row.shared_path,
            min_free: codec::opt_size("min_free_bytes", row.min_free_bytes)?,
            drain_to: row.drain_to.map(StorageId::new),
            version: codec::to_u32("version", row.version)?,
        },
        marked_at: row.marked_at,
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
        state: storage.state.to_string(),
        weight: i64::from(storage.weight.number()),
        shared_path: storage.shared_path,
        min_free_bytes: storage.min_free.map(|size| size.as_i64()),
        drain_to: storage.drain_to.map(StorageId::uuid),
        version: i64::from(storage.version),
        marked_at: record.marked_at,
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
    filter: &StorageFilter,
    after: Option<StorageId>,
    limit: u32,
) -> Result<Vec<StorageRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(limit));
    if let Some(role) = filter.role {
        query = query.filter(row::Column::Role.eq(role.as_str()));
    }
    if let Some(state) = filter.state {
        query = query.filter(row::Column::State.eq(state.as_str()));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(row::Column::Kind.eq(kind.as_str()));
    }
    if let Some(hypervisor) = filter.hypervisor_id {
        query = query.filter(row::Column::Id.is_in(bound_to(conn, hypervisor).await?));
    }
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads the storages in a state, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn in_state(conn: &Conn<'_>, state: StorageState) -> Result<Vec<StorageRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::State.eq(state.as_str()))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads the storages that are drained to that one, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn drained_to(conn: &Conn<'_>, id: StorageId) -> Result<Vec<StorageRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::DrainTo.eq(id.uuid()))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

async fn bound_to(conn: &Conn<'_>, id: HypervisorId) -> Result<Vec<uuid::Uuid>, StoreError> {
    let bound =
        binding::Entity::find().filter(binding::Column::HypervisorId.eq(id.uuid())).all(&conn.0).await?;
    Ok(bound.into_iter().map(|bound| bound.storage_id).collect())
}

/// Reads the storages that a hypervisor uses, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(conn: &Conn<'_>, id: HypervisorId) -> Result<Vec<StorageRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::Id.is_in(bound_to(conn, id).await?))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads the bindings of some storages, by storage and hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn bindings(conn: &Conn<'_>, ids: &[StorageId]) -> Result<Vec<Binding>, StoreError> {
    let rows = binding::Entity::find()
        .filter(binding::Column::StorageId.is_in(ids.iter().map(|id| id.uuid())))
        .order_by_asc(binding::Column::StorageId)
        .order_by_asc(binding::Column::HypervisorId)
        .all(&conn.0)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Binding {
            storage_id: StorageId::new(row.storage_id),
            hypervisor_id: HypervisorId::new(row.hypervisor_id),
        })
        .collect())
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

/// Notes that an agent has opened a storage, so that its folder has its marker; only the first time
/// counts.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn mark(tx: &WriteTx, id: StorageId, at: Timestamp) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::MarkedAt, Expr::value(at))
        .filter(row::Column::Id.eq(id.uuid()))
        .filter(row::Column::MarkedAt.is_null())
        .exec(&tx.0)
        .await?;
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

/// Ends the binding of a storage to a hypervisor, with what its agent reported.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn unbind(tx: &WriteTx, id: StorageId, hypervisor_id: HypervisorId) -> Result<(), StoreError> {
    binding::Entity::delete_by_id((id.uuid(), hypervisor_id.uuid())).exec(&tx.0).await?;
    Ok(())
}

/// Removes a storage with its bindings.
///
/// # Errors
///
/// [`StoreError`] when the database fails, or when something refers to the storage.
pub async fn delete(tx: &WriteTx, id: StorageId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
