//! Scans of image storages, and the objects that the last one of each found.

use std::collections::BTreeMap;

use imprint_domain::{
    digest::StoredDigest,
    id::{HypervisorId, ImageId, StorageId, TaskId},
    size::ByteSize,
    storage_scan::{ClassCount, ObjectClass, ScanState},
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_scans")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub storage_id: Uuid,
        pub hypervisor_id: Uuid,
        pub deep: bool,
        pub state: String,
        pub fence: i64,
        pub objects: i64,
        pub bytes: i64,
        pub classes: String,
        pub started_at: DateTimeUtc,
        pub finished_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod object {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_objects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub storage_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub scan_id: Uuid,
        pub fence: i64,
        pub size_bytes: Option<i64>,
        pub modified_at: Option<DateTimeUtc>,
        pub first_seen_at: DateTimeUtc,
        pub class: String,
        pub image_id: Option<Uuid>,
        pub digest: Option<String>,
        pub digest_at: Option<DateTimeUtc>,
        pub quarantined_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A scan of an image storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRecord {
    /// The task that carries it out.
    pub id: TaskId,
    /// The storage.
    pub storage_id: StorageId,
    /// The hypervisor whose agent lists the storage.
    pub hypervisor_id: HypervisorId,
    /// Whether the files of images are read and their digests compared.
    pub deep: bool,
    /// How far it is.
    pub state: ScanState,
    /// The lease under which its reports are written; another attempt starts anew.
    pub fence: u64,
    /// The number of objects that were found.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// What they are, once the scan is complete.
    pub classes: BTreeMap<ObjectClass, ClassCount>,
    /// When it was requested.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// An object of an image storage, as the last scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// The storage.
    pub storage_id: StorageId,
    /// The object's key.
    pub key: String,
    /// The scan that found it.
    pub scan_id: TaskId,
    /// The lease under which it was reported.
    pub fence: u64,
    /// The size in bytes; `None` for a file that should be there and is not.
    pub size: Option<ByteSize>,
    /// When it was changed, where the storage says so.
    pub modified_at: Option<Timestamp>,
    /// When a scan first found it.
    pub first_seen_at: Timestamp,
    /// What it is.
    pub class: ObjectClass,
    /// The image that it belongs to.
    pub image_id: Option<ImageId>,
    /// The digest of its bytes, when a deep scan read them.
    pub digest: Option<StoredDigest>,
    /// When they were read.
    pub digest_at: Option<Timestamp>,
    /// When an admin set it aside.
    pub quarantined_at: Option<Timestamp>,
}

/// The objects to list, by key.
#[derive(Clone, Debug, Default)]
pub struct ObjectFilter {
    /// The accepted classes; empty accepts all.
    pub classes: Vec<ObjectClass>,
    /// What the keys begin with.
    pub prefix: String,
    /// The last key of the previous page.
    pub after: Option<String>,
    /// The most rows to return.
    pub limit: u32,
}

fn from_row(row: row::Model) -> Result<ScanRecord, StoreError> {
    Ok(ScanRecord {
        id: TaskId::new(row.id),
        storage_id: StorageId::new(row.storage_id),
        hypervisor_id: HypervisorId::new(row.hypervisor_id),
        deep: row.deep,
        state: codec::parse("state", &row.state)?,
        fence: codec::to_u64("fence", row.fence)?,
        objects: codec::to_u64("objects", row.objects)?,
        bytes: codec::to_u64("bytes", row.bytes)?,
        classes: codec::json("classes", &row.classes)?,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

fn to_row(record: &ScanRecord) -> Result<row::Model, StoreError> {
    Ok(row::Model {
        id: record.id.uuid(),
        storage_id: record.storage_id.uuid(),
        hypervisor_id: record.hypervisor_id.uuid(),
        deep: record.deep,
        state: record.state.to_string(),
        fence: codec::to_i64(record.fence),
        objects: codec::to_i64(record.objects),
        bytes: codec::to_i64(record.bytes),
        classes: codec::to_json("classes", &record.classes)?,
        started_at: record.started_at,
        finished_at: record.finished_at,
    })
}

fn from_object(row: object::Model) -> Result<ObjectRecord, StoreError> {
    Ok(ObjectRecord {
        storage_id: StorageId::new(row.storage_id),
        key: row.key,
        scan_id: TaskId::new(row.scan_id),
        fence: codec::to_u64("fence", row.fence)?,
        size: codec::opt_size("size_bytes", row.size_bytes)?,
        modified_at: row.modified_at,
        first_seen_at: row.first_seen_at,
        class: codec::parse("class", &row.class)?,
        image_id: row.image_id.map(ImageId::new),
        digest: row.digest.as_deref().map(|text| codec::parse("digest", text)).transpose()?,
        digest_at: row.digest_at,
        quarantined_at: row.quarantined_at,
    })
}

fn to_object(record: &ObjectRecord) -> object::Model {
    object::Model {
        storage_id: record.storage_id.uuid(),
        key: record.key.clone(),
        scan_id: record.scan_id.uuid(),
        fence: codec::to_i64(record.fence),
        size_bytes: record.size.map(|size| size.as_i64()),
        modified_at: record.modified_at,
        first_seen_at: record.first_seen_at,
        class: record.class.to_string(),
        image_id: record.image_id.map(ImageId::uuid),
        digest: record.digest.as_ref().map(ToString::to_string),
        digest_at: record.digest_at,
        quarantined_at: record.quarantined_at,
    }
}

/// Reads a scan, if there is one of that id.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: TaskId) -> Result<Option<ScanRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the latest scans of a storage, latest first: all, or those in one state.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn latest(
    conn: &Conn<'_>,
    storage: StorageId,
    state: Option<ScanState>,
    limit: u32,
) -> Result<Vec<ScanRecord>, StoreError> {
    let mut query = row::Entity::find().filter(row::Column::StorageId.eq(storage.uuid()));
    if let Some(state) = state {
        query = query.filter(row::Column::State.eq(state.as_str()));
    }
    let rows = query
        .order_by_desc(row::Column::StartedAt)
        .order_by_desc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Returns the start of the last deep scan of a storage that was completed.
///
/// # Errors
///
/// The database cannot be read.
pub async fn last_deep(conn: &Conn<'_>, storage: StorageId) -> Result<Option<Timestamp>, StoreError> {
    let query = row::Entity::find()
        .filter(row::Column::StorageId.eq(storage.uuid()))
        .filter(row::Column::State.eq(ScanState::Complete.as_str()))
        .filter(row::Column::Deep.eq(true));
    let last = query.order_by_desc(row::Column::StartedAt).one(&conn.0).await?;
    Ok(last.map(from_row).transpose()?.map(|scan| scan.started_at))
}

/// Writes a new scan.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, record: &ScanRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Writes a scan over its earlier row.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn update(tx: &WriteTx, record: &ScanRecord) -> Result<(), StoreError> {
    to_row(record)?.into_active_model().reset_all().update(&tx.0).await?;
    Ok(())
}

/// Removes the scans of a storage that started before `before` and are over.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_before(tx: &WriteTx, storage: StorageId, before: Timestamp) -> Result<(), StoreError> {
    row::Entity::delete_many()
        .filter(row::Column::StorageId.eq(storage.uuid()))
        .filter(row::Column::StartedAt.lt(before))
        .filter(row::Column::State.ne(ScanState::Active.as_str()))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Reads the objects of a storage that have one of those keys.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn objects_of_keys(
    conn: &Conn<'_>,
    storage: StorageId,
    keys: &[&str],
) -> Result<BTreeMap<String, ObjectRecord>, StoreError> {
    let rows = object::Entity::find()
        .filter(object::Column::StorageId.eq(storage.uuid()))
        .filter(object::Column::Key.is_in(keys.iter().copied()))
        .all(&conn.0)
        .await?;
    rows.into_iter().map(|row| Ok((row.key.clone(), from_object(row)?))).collect()
}

/// Reads a page of objects in byte order of their keys.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn objects(
    conn: &Conn<'_>,
    storage: StorageId,
    filter: &ObjectFilter,
) -> Result<Vec<ObjectRecord>, StoreError> {
    let mut query = object::Entity::find().filter(object::Column::StorageId.eq(storage.uuid()));
    if !filter.classes.is_empty() {
        query = query.filter(object::Column::Class.is_in(filter.classes.iter().map(|class| class.as_str())));
    }
    if !filter.prefix.is_empty() {
        // A range instead of `like`, which has its own idea of letters and wildcards. No key is
        // above a prefix and the last character.
        query = query
            .filter(object::Column::Key.gte(filter.prefix.as_str()))
            .filter(object::Column::Key.lt(format!("{}{}", filter.prefix, char::MAX)));
    }
    if let Some(after) = &filter.after {
        query = query.filter(object::Column::Key.gt(after.as_str()));
    }
    let rows = query.order_by_asc(object::Column::Key).limit(u64::from(filter.limit)).all(&conn.0).await?;
    rows.into_iter().map(from_object).collect()
}

/// Reads objects of a storage that belonged to an image which is gone, or on another storage now.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn objects_of_former_images(
    conn: &Conn<'_>,
    storage: StorageId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<ObjectRecord>, StoreError> {
    let there = Expr::cust(
        "not exists (select 1 from images where images.id = storage_objects.image_id \
         and images.storage_id = storage_objects.storage_id)",
    );
    let mut query = object::Entity::find()
        .filter(object::Column::StorageId.eq(storage.uuid()))
        .filter(object::Column::ImageId.is_not_null())
        .filter(there);
    if let Some(after) = after {
        query = query.filter(object::Column::Key.gt(after));
    }
    let rows = query.order_by_asc(object::Column::Key).limit(u64::from(limit)).all(&conn.0).await?;
    rows.into_iter().map(from_object).collect()
}

/// Counts the objects of a storage by their class.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn count(
    conn: &Conn<'_>,
    storage: StorageId,
) -> Result<BTreeMap<ObjectClass, ClassCount>, StoreError> {
    // Summed as a number of 64 bits on both databases: PostgreSQL's sum of them is a decimal.
    let bytes = Expr::cust("cast(coalesce(sum(size_bytes), 0) as bigint)");
    let rows: Vec<(String, i64, i64)> = object::Entity::find()
        .select_only()
        .column(object::Column::Class)
        .column_as(object::Column::Key.count(), "objects")
        .column_as(bytes, "bytes")
        .filter(object::Column::StorageId.eq(storage.uuid()))
        .group_by(object::Column::Class)
        .into_tuple()
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|(class, count, bytes)| {
            let count =
                ClassCount { count: codec::to_u64("objects", count)?, bytes: codec::to_u64("bytes", bytes)? };
            Ok((codec::parse("class", &class)?, count))
        })
        .collect()
}

/// Writes objects over their earlier rows.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put_objects(tx: &WriteTx, records: &[ObjectRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let rows = records.iter().map(|record| to_object(record).into_active_model());
    object::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([object::Column::StorageId, object::Column::Key])
                .update_columns([
                    object::Column::ScanId,
                    object::Column::Fence,
                    object::Column::SizeBytes,
                    object::Column::ModifiedAt,
                    object::Column::FirstSeenAt,
                    object::Column::Class,
                    object::Column::ImageId,
                    object::Column::Digest,
                    object::Column::DigestAt,
                    object::Column::QuarantinedAt,
                ])
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}

/// Removes the objects of a storage that another scan, or another attempt at this one, has found.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_unseen(tx: &WriteTx, scan: &ScanRecord) -> Result<(), StoreError> {
    let other = Condition::any()
        .add(object::Column::ScanId.ne(scan.id.uuid()))
        .add(object::Column::Fence.ne(codec::to_i64(scan.fence)));
    object::Entity::delete_many()
        .filter(object::Column::StorageId.eq(scan.storage_id.uuid()))
        .filter(other)
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes objects of a storage by their keys.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn remove_objects(tx: &WriteTx, storage: StorageId, keys: &[String]) -> Result<(), StoreError> {
    object::Entity::delete_many()
        .filter(object::Column::StorageId.eq(storage.uuid()))
        .filter(object::Column::Key.is_in(keys.iter().map(String::as_str)))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Reads objects of a storage that were set aside before `before`.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn quarantined_before(
    conn: &Conn<'_>,
    storage: StorageId,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<ObjectRecord>, StoreError> {
    let rows = object::Entity::find()
        .filter(object::Column::StorageId.eq(storage.uuid()))
        .filter(object::Column::Class.eq(ObjectClass::Quarantined.as_str()))
        .filter(object::Column::QuarantinedAt.lt(before))
        .order_by_asc(object::Column::Key)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_object).collect()
}
