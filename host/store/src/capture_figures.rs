//! What captures took, for estimates of the next ones.

use imprint_domain::{
    estimate::{MAX_CONSIDERED, PastCapture},
    id::{HypervisorId, InstanceId, TaskId},
    time::Timestamp,
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::OnConflict,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "capture_figures")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub task_id: Uuid,
        pub instance_id: Uuid,
        pub hypervisor_id: Uuid,
        pub is_compressed: bool,
        pub content_bytes: i64,
        pub stored_bytes: i64,
        pub took_ms: i64,
        pub finished_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A capture and what it took.
#[derive(Clone, Copy, Debug)]
pub struct CaptureFigures {
    /// The task that captured.
    pub task_id: TaskId,
    /// The instance that was captured.
    pub instance_id: InstanceId,
    /// The hypervisor of the instance.
    pub hypervisor_id: HypervisorId,
    /// Whether the image's file is compressed.
    pub is_compressed: bool,
    /// The size and the time that it took.
    pub past: PastCapture,
    /// The time at which it ended.
    pub finished_at: Timestamp,
}

/// Writes what a capture took; a second report of the same task changes nothing.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, figures: &CaptureFigures) -> Result<(), StoreError> {
    let row = row::Model {
        task_id: figures.task_id.uuid(),
        instance_id: figures.instance_id.uuid(),
        hypervisor_id: figures.hypervisor_id.uuid(),
        is_compressed: figures.is_compressed,
        content_bytes: figures.past.content.as_i64(),
        stored_bytes: figures.past.stored.as_i64(),
        took_ms: codec::to_i64(figures.past.took_ms),
        finished_at: figures.finished_at,
    };
    let once = OnConflict::column(row::Column::TaskId).do_nothing().to_owned();
    row::Entity::insert(row.into_active_model()).on_conflict(once).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Removes the figures of a hypervisor that are older than that.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete_older(tx: &WriteTx, id: HypervisorId, than: Timestamp) -> Result<(), StoreError> {
    row::Entity::delete_many()
        .filter(row::Column::HypervisorId.eq(id.uuid()))
        .filter(row::Column::FinishedAt.lt(than))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Reads what the latest captures of an instance took, latest first, all with or all without
/// compression.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_instance(
    conn: &Conn<'_>,
    id: InstanceId,
    is_compressed: bool,
) -> Result<Vec<PastCapture>, StoreError> {
    latest(conn, row::Entity::find().filter(row::Column::InstanceId.eq(id.uuid())), is_compressed).await
}

/// Reads the same of a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(
    conn: &Conn<'_>,
    id: HypervisorId,
    is_compressed: bool,
) -> Result<Vec<PastCapture>, StoreError> {
    latest(conn, row::Entity::find().filter(row::Column::HypervisorId.eq(id.uuid())), is_compressed).await
}

async fn latest(
    conn: &Conn<'_>,
    figures: Select<row::Entity>,
    is_compressed: bool,
) -> Result<Vec<PastCapture>, StoreError> {
    let rows = figures
        .filter(row::Column::IsCompressed.eq(is_compressed))
        .order_by_desc(row::Column::FinishedAt)
        .limit(u64::try_from(MAX_CONSIDERED).unwrap_or(u64::MAX))
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(PastCapture {
                content: codec::size("content_bytes", row.content_bytes)?,
                stored: codec::size("stored_bytes", row.stored_bytes)?,
                took_ms: codec::to_u64("took_ms", row.took_ms)?,
            })
        })
        .collect()
}
