//! What tasks use of image storages: which ones they need, and the bytes that are reserved for what
//! they write.
//!
//! A reservation counts until its bytes show in what agents report about the free space. So it
//! stays for a while after its task has ended, with the bytes that were written.

use std::collections::BTreeMap;

use imprint_domain::{
    id::{HypervisorId, StorageId, TaskId},
    size::ByteSize,
    task::TaskState,
    time::Timestamp,
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};

use crate::{Conn, StoreError, WriteTx, codec, task};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_uses")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub task_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub storage_id: Uuid,
        pub bytes: i64,
        pub settles_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a task uses of an image storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageUse {
    /// The task.
    pub task_id: TaskId,
    /// The storage.
    pub storage_id: StorageId,
    /// The bytes that are reserved; none for a task that only reads or removes.
    pub bytes: ByteSize,
}

/// Reads the bytes that are reserved on some storages. Storages without any are left out.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn reserved(
    conn: &Conn<'_>,
    ids: &[StorageId],
) -> Result<BTreeMap<StorageId, ByteSize>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::StorageId.is_in(ids.iter().map(|id| id.uuid())))
        .filter(row::Column::Bytes.gt(0))
        .all(&conn.0)
        .await?;
    let mut sums = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(StorageId::new(row.storage_id)).or_insert(ByteSize::ZERO);
        *sum = sum.saturating_add(codec::size("bytes", row.bytes)?);
    }
    Ok(sums)
}

/// Reads the ids of the queued and running tasks that use a storage, oldest first: all, or those of
/// one hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn active(
    conn: &Conn<'_>,
    id: StorageId,
    hypervisor: Option<HypervisorId>,
) -> Result<Vec<TaskId>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::StorageId.eq(id.uuid()))
        .filter(row::Column::SettlesAt.is_null())
        .order_by_asc(row::Column::TaskId)
        .all(&conn.0)
        .await?;
    let mut found = Vec::new();
    for row in rows {
        let id = TaskId::new(row.task_id);
        let Some(record) = task::get(conn, id).await? else { continue };
        let there = hypervisor.is_none_or(|hypervisor| record.task.hypervisor_id == hypervisor);
        if there && matches!(record.task.state, TaskState::Queued | TaskState::Running) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Reads what a task uses.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_task(conn: &Conn<'_>, id: TaskId) -> Result<Vec<StorageUse>, StoreError> {
    let rows = row::Entity::find().filter(row::Column::TaskId.eq(id.uuid())).all(&conn.0).await?;
    rows.into_iter()
        .map(|row| {
            Ok(StorageUse {
                task_id: id,
                storage_id: StorageId::new(row.storage_id),
                bytes: codec::size("bytes", row.bytes)?,
            })
        })
        .collect()
}

/// Writes what a task uses, over an earlier use of the same storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(tx: &WriteTx, used: &StorageUse) -> Result<(), StoreError> {
    let row = row::Model {
        task_id: used.task_id.uuid(),
        storage_id: used.storage_id.uuid(),
        bytes: used.bytes.as_i64(),
        settles_at: None,
    };
    row::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::columns([row::Column::TaskId, row::Column::StorageId])
                .update_columns([row::Column::Bytes, row::Column::SettlesAt])
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}

/// Marks that a task has ended that wrote the bytes of `used`. They count until `settles_at`, when
/// every report of the free space that was measured before the end has come.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn settle(tx: &WriteTx, used: &StorageUse, settles_at: Timestamp) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::Bytes, Expr::value(used.bytes.as_i64()))
        .col_expr(row::Column::SettlesAt, Expr::value(settles_at))
        .filter(row::Column::TaskId.eq(used.task_id.uuid()))
        .filter(row::Column::StorageId.eq(used.storage_id.uuid()))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes the uses of a task that are not settling.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn release_unreserved(tx: &WriteTx, id: TaskId) -> Result<(), StoreError> {
    row::Entity::delete_many()
        .filter(row::Column::TaskId.eq(id.uuid()))
        .filter(row::Column::SettlesAt.is_null())
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes the uses of a storage by tasks that are over.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_ended(tx: &WriteTx, id: StorageId) -> Result<(), StoreError> {
    row::Entity::delete_many()
        .filter(row::Column::StorageId.eq(id.uuid()))
        .filter(row::Column::SettlesAt.is_not_null())
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes what a task used.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn release(tx: &WriteTx, id: TaskId) -> Result<(), StoreError> {
    row::Entity::delete_many().filter(row::Column::TaskId.eq(id.uuid())).exec(&tx.0).await?;
    Ok(())
}

/// Removes the uses of a storage that have settled.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_settled(tx: &WriteTx, id: StorageId, now: Timestamp) -> Result<(), StoreError> {
    row::Entity::delete_many()
        .filter(row::Column::StorageId.eq(id.uuid()))
        .filter(row::Column::SettlesAt.lte(now))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes the uses of all storages that settled before `before`, also where no agent reports free
/// space. Returns their number.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_settled_before(tx: &WriteTx, before: Timestamp) -> Result<u64, StoreError> {
    let done = row::Entity::delete_many().filter(row::Column::SettlesAt.lt(before)).exec(&tx.0).await?;
    Ok(done.rows_affected)
}
