//! Images.

mod catalogue;
mod filter;
mod list;
mod narrow;
mod references;
mod tags;
mod text;
mod usage;

use imprint_domain::{
    id::{AccountId, ImageId, InstanceId, LocationId, MediaGroupId, StorageId, TaskId},
    image::{Image, ImageParts, ImageSource, ImageStatus, StoredImage, catalogue::Deprecation},
    size::ByteSize,
    tag::Tags,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, SelectStatement},
};
use uuid::Uuid;

pub use self::{
    catalogue::{count_of_media_group, current_of_families},
    filter::{ImageFilter, OwnerFilter},
    list::{SortBy, SortKey, Sorted, list},
    references::{references_of_keys, references_of_storage},
    usage::{usage_of_account, usage_of_accounts},
};
pub(crate) use self::{references::ids_that_stay, text::fill_missing};
use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "images")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub location_id: Uuid,
        pub kind: String,
        pub name: String,
        pub description: String,
        pub status: String,
        pub source_instance_id: Option<Uuid>,
        pub source_instance_name: Option<String>,
        pub storage_id: Uuid,
        pub storage_key: String,
        pub format: String,
        pub size_bytes: Option<i64>,
        pub virtual_size_bytes: Option<i64>,
        pub logical_digest: Option<String>,
        pub stored_digest: Option<String>,
        pub consistency: Option<String>,
        pub downgraded_because: Option<String>,
        pub capture_method: Option<String>,
        pub frozen_ms: Option<i64>,
        pub stopped_ms: Option<i64>,
        pub task_id: Option<Uuid>,
        pub created_at: DateTimeUtc,
        pub available_at: Option<DateTimeUtc>,
        pub version: i64,
        pub reserved_bytes: i64,
        pub protected: bool,
        pub removal_failed: bool,
        pub search_text: String,
        pub metadata: String,
        pub estimated_bytes: Option<i64>,
        pub estimated_s: Option<i64>,
        pub took_ms: Option<i64>,
        pub os_type: String,
        pub cloud_init: bool,
        pub media_group_id: Option<Uuid>,
        pub family: Option<String>,
        pub family_version: Option<String>,
        pub deprecation: Option<String>,
        pub replacement_id: Option<Uuid>,
        pub hidden: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An image with the notes of its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// The image.
    pub image: Image,
    /// The notes of its capture.
    pub capture: CaptureNotes,
}

/// The circumstances of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureNotes {
    /// Why the consistency is below the requested level.
    pub downgraded_because: Option<String>,
    /// The method by which the point in time was taken.
    pub method: Option<String>,
    /// The time for which file systems were frozen, in milliseconds.
    pub frozen_ms: Option<u32>,
    /// The time for which processors were stopped, in milliseconds.
    pub stopped_ms: Option<u32>,
    /// The estimate of its size in bytes, from before it started.
    pub estimated: Option<ByteSize>,
    /// The estimate of its time in seconds.
    pub estimated_s: Option<u64>,
    /// The time that it took in milliseconds, once it is over.
    pub took_ms: Option<u64>,
}

/// How many images of a status a storage has, and how much they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageUsage {
    /// The storage.
    pub storage_id: StorageId,
    /// The status.
    pub status: ImageStatus,
    /// The number of images.
    pub count: u64,
    /// The bytes of their files, as far as they are stored.
    pub bytes: ByteSize,
}

fn stored(row: &row::Model) -> Result<Option<StoredImage>, StoreError> {
    let (Some(size), Some(virtual_size), Some(logical), Some(digest)) =
        (row.size_bytes, row.virtual_size_bytes, &row.logical_digest, &row.stored_digest)
    else {
        return Ok(None);
    };
    Ok(Some(StoredImage {
        size: codec::size("size_bytes", size)?,
        virtual_size: codec::size("virtual_size_bytes", virtual_size)?,
        format: codec::parse("format", &row.format)?,
        logical_digest: codec::parse("logical_digest", logical)?,
        stored_digest: codec::parse("stored_digest", digest)?,
        consistency: row.consistency.as_deref().map(|text| codec::parse("consistency", text)).transpose()?,
    }))
}

fn source(row: &row::Model) -> Option<ImageSource> {
    Some(ImageSource {
        instance_id: InstanceId::new(row.source_instance_id?),
        instance_name: row.source_instance_name.clone()?,
    })
}

fn from_row(row: row::Model, tags: Tags) -> Result<ImageRecord, StoreError> {
    let (guest, catalogue) = (catalogue::guest(&row)?, catalogue::entry(&row)?);
    let parts = ImageParts {
        id: ImageId::new(row.id),
        account_id: AccountId::new(row.account_id),
        location_id: LocationId::new(row.location_id),
        kind: codec::parse("kind", &row.kind)?,
        name: codec::name(&row.name)?,
        status: codec::parse("status", &row.status)?,
        source: source(&row),
        storage_id: StorageId::new(row.storage_id),
        format: codec::parse("format", &row.format)?,
        stored: stored(&row)?,
        reserved: codec::size("reserved_bytes", row.reserved_bytes)?,
        task_id: row.task_id.map(TaskId::new),
        created_at: row.created_at,
        available_at: row.available_at,
        version: codec::to_u32("version", row.version)?,
        description: row.description,
        tags,
        metadata: codec::json("metadata", &row.metadata)?,
        guest,
        catalogue,
        protected: row.protected,
        removal_failed: row.removal_failed,
        storage_key: row.storage_key,
    };
    Ok(ImageRecord {
        image: Image::from_parts(parts).map_err(|error| codec::corrupt("status", error))?,
        capture: CaptureNotes {
            downgraded_because: row.downgraded_because,
            method: row.capture_method,
            frozen_ms: row.frozen_ms.map(|ms| codec::to_u32("frozen_ms", ms)).transpose()?,
            stopped_ms: row.stopped_ms.map(|ms| codec::to_u32("stopped_ms", ms)).transpose()?,
            estimated: codec::opt_size("estimated_bytes", row.estimated_bytes)?,
            estimated_s: row.estimated_s.map(|s| codec::to_u64("estimated_s", s)).transpose()?,
            took_ms: row.took_ms.map(|ms| codec::to_u64("took_ms", ms)).transpose()?,
        },
    })
}

fn to_row(record: &ImageRecord) -> Result<row::Model, StoreError> {
    let image = &record.image;
    let (stored, entry) = (image.stored.as_ref(), &image.catalogue);
    Ok(row::Model {
        id: image.id.uuid(),
        account_id: image.account_id.uuid(),
        location_id: image.location_id.uuid(),
        kind: image.kind.to_string(),
        name: image.name.to_string(),
        description: image.description.clone(),
        status: image.status.to_string(),
        source_instance_id: image.source.as_ref().map(|source| source.instance_id.uuid()),
        source_instance_name: image.source.as_ref().map(|source| source.instance_name.clone()),
        storage_id: image.storage_id.uuid(),
        storage_key: image.storage_key.clone(),
        format: image.format.to_string(),
        size_bytes: stored.map(|stored| stored.size.as_i64()),
        virtual_size_bytes: stored.map(|stored| stored.virtual_size.as_i64()),
        logical_digest: stored.map(|stored| stored.logical_digest.to_string()),
        stored_digest: stored.map(|stored| stored.stored_digest.to_string()),
        consistency: stored.and_then(|stored| stored.consistency).map(|level| level.to_string()),
        downgraded_because: record.capture.downgraded_because.clone(),
        capture_method: record.capture.method.clone(),
        frozen_ms: record.capture.frozen_ms.map(i64::from),
        stopped_ms: record.capture.stopped_ms.map(i64::from),
        task_id: image.task_id.map(TaskId::uuid),
        created_at: image.created_at,
        available_at: image.available_at,
        version: i64::from(image.version),
        reserved_bytes: image.reserved.as_i64(),
        protected: image.protected,
        removal_failed: image.removal_failed,
        search_text: image.searched_text(),
        metadata: codec::to_json("metadata", &image.metadata)?,
        estimated_bytes: record.capture.estimated.map(ByteSize::as_i64),
        estimated_s: record.capture.estimated_s.map(codec::to_i64),
        took_ms: record.capture.took_ms.map(codec::to_i64),
        os_type: image.guest.os_type.to_string(),
        cloud_init: image.guest.cloud_init,
        media_group_id: entry.media_group_id.map(MediaGroupId::uuid),
        family: entry.edition.as_ref().map(|edition| edition.family.to_string()),
        family_version: entry.edition.as_ref().map(|edition| edition.version.to_string()),
        deprecation: entry.deprecation.as_ref().map(|found| found.notice().to_owned()),
        replacement_id: entry.deprecation.as_ref().and_then(Deprecation::replacement).map(ImageId::uuid),
        hidden: entry.hidden,
    })
}

/// Returns the images of rows, with their tags.
async fn from_rows(conn: &Conn<'_>, rows: Vec<row::Model>) -> Result<Vec<ImageRecord>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut tags = tags::of_images(conn, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let tags = tags.remove(&row.id).unwrap_or_default();
            from_row(row, tags)
        })
        .collect()
}

/// Returns the image of a row, with its tags.
async fn from_one(conn: &Conn<'_>, row: Option<row::Model>) -> Result<Option<ImageRecord>, StoreError> {
    let rows = row.into_iter().collect();
    Ok(from_rows(conn, rows).await?.pop())
}

/// Reads the image of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: ImageId) -> Result<Option<ImageRecord>, StoreError> {
    from_one(conn, row::Entity::find_by_id(id.uuid()).one(&conn.0).await?).await
}

/// Reads the image whose file has that key in that storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_key(
    conn: &Conn<'_>,
    storage: StorageId,
    key: &str,
) -> Result<Option<ImageRecord>, StoreError> {
    let found = row::Entity::find()
        .filter(row::Column::StorageId.eq(storage.uuid()))
        .filter(row::Column::StorageKey.eq(key))
        .one(&conn.0)
        .await?;
    from_one(conn, found).await
}

/// Reads the images that have one of those ids.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_ids(conn: &Conn<'_>, ids: &[ImageId]) -> Result<Vec<ImageRecord>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = row::Entity::find()
        .filter(row::Column::Id.is_in(ids.iter().map(|id| id.uuid())))
        .all(&conn.0)
        .await?;
    from_rows(conn, rows).await
}

/// Counts the images of some storages, by storage and status.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn usage_of_storages(conn: &Conn<'_>, ids: &[StorageId]) -> Result<Vec<StorageUsage>, StoreError> {
    // Summed as a number of 64 bits on both databases: PostgreSQL's sum of them is a decimal.
    let bytes = Expr::cust("cast(coalesce(sum(size_bytes), 0) as bigint)");
    let rows: Vec<(Uuid, String, i64, i64)> = row::Entity::find()
        .select_only()
        .column(row::Column::StorageId)
        .column(row::Column::Status)
        .column_as(row::Column::Id.count(), "images")
        .column_as(bytes, "bytes")
        .filter(row::Column::StorageId.is_in(ids.iter().map(|id| id.uuid())))
        .group_by(row::Column::StorageId)
        .group_by(row::Column::Status)
        .into_tuple()
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|(storage_id, status, count, bytes)| {
            Ok(StorageUsage {
                storage_id: StorageId::new(storage_id),
                status: codec::parse("status", &status)?,
                count: codec::to_u64("images", count)?,
                bytes: codec::size("bytes", bytes)?,
            })
        })
        .collect()
}

/// Reads the oldest images of a storage, after one of them where it is given.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn oldest_of_storage(
    conn: &Conn<'_>,
    storage: StorageId,
    status: ImageStatus,
    after: Option<ImageId>,
    limit: u32,
) -> Result<Vec<ImageRecord>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::StorageId.eq(storage.uuid()))
        .filter(row::Column::Status.eq(status.as_str()));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    let rows = query.order_by_asc(row::Column::Id).limit(u64::from(limit)).all(&conn.0).await?;
    from_rows(conn, rows).await
}

/// Counts the images of a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_location(conn: &Conn<'_>, id: LocationId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::LocationId.eq(id.uuid())).count(&conn.0).await?)
}

/// Adds an image.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &ImageRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    usage::count(tx, None, Some(&record.image)).await?;
    tags::add(tx, &record.image).await
}

/// Changes an image's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &ImageRecord) -> Result<(), StoreError> {
    let before = get(&tx.conn(), record.image.id).await?;
    usage::count(tx, before.as_ref().map(|before| &before.image), Some(&record.image)).await?;
    row::Entity::update(to_row(record)?.into_active_model().reset_all()).exec(&tx.0).await?;
    if before.is_some_and(|before| before.image.tags == record.image.tags) {
        return Ok(());
    }
    tags::replace(tx, &record.image).await
}

/// Removes an image's row.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete(tx: &WriteTx, id: ImageId) -> Result<(), StoreError> {
    let before = get(&tx.conn(), id).await?;
    usage::count(tx, before.as_ref().map(|before| &before.image), None).await?;
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}

/// Forgets tasks that worked on images; `tasks` selects their ids.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub(crate) async fn forget_tasks(tx: &WriteTx, tasks: SelectStatement) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::TaskId, Expr::value(None::<Uuid>))
        .filter(row::Column::TaskId.in_subquery(tasks))
        .exec(&tx.0)
        .await?;
    Ok(())
}
