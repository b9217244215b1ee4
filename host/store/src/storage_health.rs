//! What agents reported about image storages, one row for each hypervisor that one is bound to.

use imprint_domain::{
    id::{HypervisorId, StorageId},
    storage::StorageHealth,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, sea_query::OnConflict};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_health")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub storage_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub hypervisor_id: Uuid,
        pub available_bytes: Option<i64>,
        pub total_bytes: Option<i64>,
        pub read_only: bool,
        pub problem: Option<String>,
        pub seen_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn from_row(row: row::Model) -> Result<(StorageId, StorageHealth), StoreError> {
    let health = StorageHealth {
        hypervisor_id: HypervisorId::new(row.hypervisor_id),
        available: codec::opt_size("available_bytes", row.available_bytes)?,
        total: codec::opt_size("total_bytes", row.total_bytes)?,
        read_only: row.read_only,
        problem: row.problem,
        seen_at: row.seen_at,
    };
    Ok((StorageId::new(row.storage_id), health))
}

/// Reads what the agents reported about some storages, by storage and hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_storages(
    conn: &Conn<'_>,
    ids: &[StorageId],
) -> Result<Vec<(StorageId, StorageHealth)>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::StorageId.is_in(ids.iter().map(|id| id.uuid())))
        .order_by_asc(row::Column::StorageId)
        .order_by_asc(row::Column::HypervisorId)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads what the agent of a hypervisor reported about the storages that are bound to it.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(
    conn: &Conn<'_>,
    id: HypervisorId,
) -> Result<Vec<(StorageId, StorageHealth)>, StoreError> {
    let rows = row::Entity::find().filter(row::Column::HypervisorId.eq(id.uuid())).all(&conn.0).await?;
    rows.into_iter().map(from_row).collect()
}

/// Writes a report over the earlier one. The storage must be bound to the hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(tx: &WriteTx, id: StorageId, health: &StorageHealth) -> Result<(), StoreError> {
    let row = row::Model {
        storage_id: id.uuid(),
        hypervisor_id: health.hypervisor_id.uuid(),
        available_bytes: health.available.map(|size| size.as_i64()),
        total_bytes: health.total.map(|size| size.as_i64()),
        read_only: health.read_only,
        problem: health.problem.clone(),
        seen_at: health.seen_at,
    };
    let columns = [
        row::Column::AvailableBytes,
        row::Column::TotalBytes,
        row::Column::ReadOnly,
        row::Column::Problem,
        row::Column::SeenAt,
    ];
    row::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::columns([row::Column::StorageId, row::Column::HypervisorId])
                .update_columns(columns)
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}
