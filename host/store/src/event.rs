//! Events, numbered without gaps per account.

use imprint_domain::{
    event::{Event, EventKind},
    id::{AccountId, ExportId, ImageId, InstanceId, IsoId, MediaGroupId, ShareId, StorageId, TaskId},
    time::Timestamp,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::{Conn, StoreError, WriteTx, account, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        pub kind: String,
        pub image_id: Option<Uuid>,
        pub instance_id: Option<Uuid>,
        pub task_id: Option<Uuid>,
        pub at: DateTimeUtc,
        pub storage_id: Option<Uuid>,
        pub share_id: Option<Uuid>,
        pub iso_id: Option<Uuid>,
        pub media_group_id: Option<Uuid>,
        pub export_id: Option<Uuid>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An event that has no number yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The account whose events it is part of.
    pub account_id: AccountId,
    /// What changed.
    pub kind: EventKind,
    /// The image that changed.
    pub image_id: Option<ImageId>,
    /// The instance that changed.
    pub instance_id: Option<InstanceId>,
    /// The media group that changed.
    pub media_group_id: Option<MediaGroupId>,
    /// The share that changed.
    pub share_id: Option<ShareId>,
    /// The image storage that changed.
    pub storage_id: Option<StorageId>,
    /// The ISO that changed.
    pub iso_id: Option<IsoId>,
    /// The export that changed.
    pub export_id: Option<ExportId>,
    /// The task that changed.
    pub task_id: Option<TaskId>,
    /// When it changed.
    pub at: Timestamp,
}

/// Writes an event in the transaction of the change that it describes, and returns its number.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn append(tx: &WriteTx, event: &NewEvent) -> Result<u64, StoreError> {
    let sequence = account::next_sequence(tx, event.account_id).await?;
    let row = row::Model {
        account_id: event.account_id.uuid(),
        sequence: codec::to_i64(sequence),
        kind: event.kind.as_str().to_owned(),
        image_id: event.image_id.map(ImageId::uuid),
        instance_id: event.instance_id.map(InstanceId::uuid),
        task_id: event.task_id.map(TaskId::uuid),
        at: event.at,
        storage_id: event.storage_id.map(StorageId::uuid),
        share_id: event.share_id.map(ShareId::uuid),
        iso_id: event.iso_id.map(IsoId::uuid),
        media_group_id: event.media_group_id.map(MediaGroupId::uuid),
        export_id: event.export_id.map(ExportId::uuid),
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(sequence)
}

/// Reads the events of an account after a number, in order.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn after(
    conn: &Conn<'_>,
    account_id: AccountId,
    sequence: u64,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::AccountId.eq(account_id.uuid()))
        .filter(row::Column::Sequence.gt(codec::to_i64(sequence)))
        .order_by_asc(row::Column::Sequence)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Event {
                account_id: AccountId::new(row.account_id),
                sequence: codec::to_u64("sequence", row.sequence)?,
                kind: codec::parse("kind", &row.kind)?,
                image_id: row.image_id.map(ImageId::new),
                instance_id: row.instance_id.map(InstanceId::new),
                storage_id: row.storage_id.map(StorageId::new),
                share_id: row.share_id.map(ShareId::new),
                iso_id: row.iso_id.map(IsoId::new),
                export_id: row.export_id.map(ExportId::new),
                media_group_id: row.media_group_id.map(MediaGroupId::new),
                task_id: row.task_id.map(TaskId::new),
                at: row.at,
            })
        })
        .collect()
}

/// Deletes events up to `before`, and returns their number.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete_older(tx: &WriteTx, before: Timestamp) -> Result<u64, StoreError> {
    let done = row::Entity::delete_many().filter(row::Column::At.lte(before)).exec(&tx.0).await?;
    Ok(done.rows_affected)
}
