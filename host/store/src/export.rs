//! Exports of images.

use imprint_domain::{
    export::{Export, ExportForm, ExportPlace, ExportStatus, StoredExport},
    id::{AccountId, ExportId, ImageId, LocationId, StorageId, TaskId},
    size::ByteSize,
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_exports")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub image_id: Uuid,
        pub location_id: Uuid,
        pub storage_id: Option<Uuid>,
        pub storage_key: String,
        pub format: String,
        pub variant: Option<String>,
        pub compression: Option<String>,
        pub destination_kind: Option<String>,
        pub status: String,
        pub size_bytes: Option<i64>,
        pub stored_digest: Option<String>,
        pub sha256: Option<String>,
        pub virtual_size_bytes: i64,
        pub logical_digest: String,
        pub task_id: Uuid,
        pub created_at: DateTimeUtc,
        pub available_at: Option<DateTimeUtc>,
        pub expires_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The number and the size of the exports of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportCount {
    /// The status.
    pub status: ExportStatus,
    /// The number of exports.
    pub count: u64,
    /// The sum of the sizes of their files in bytes. One that is not complete has none.
    pub bytes: u64,
}

fn from_row(row: row::Model) -> Result<Export, StoreError> {
    let place = match (row.storage_id, row.destination_kind) {
        (Some(id), None) => ExportPlace::Storage(StorageId::new(id)),
        (None, Some(kind)) => ExportPlace::Destination(codec::parse("destination_kind", &kind)?),
        (Some(_), Some(kind)) => return Err(codec::corrupt("destination_kind", kind)),
        (None, None) => return Err(codec::corrupt("storage_id", "null")),
    };
    let stored = match (row.size_bytes, row.stored_digest, row.sha256) {
        (Some(size), Some(digest), Some(sha256)) => Some(StoredExport {
            size: codec::size("size_bytes", size)?,
            digest: codec::parse("stored_digest", &digest)?,
            sha256: codec::parse("sha256", &sha256)?,
        }),
        (Some(_) | None, _, _) => None,
    };
    Ok(Export {
        id: ExportId::new(row.id),
        account_id: AccountId::new(row.account_id),
        image_id: ImageId::new(row.image_id),
        location_id: LocationId::new(row.location_id),
        place,
        key: row.storage_key,
        form: ExportForm {
            format: codec::parse("format", &row.format)?,
            variant: row.variant.as_deref().map(|text| codec::parse("variant", text)).transpose()?,
            compression: row
                .compression
                .as_deref()
                .map(|text| codec::parse("compression", text))
                .transpose()?,
        },
        status: codec::parse("status", &row.status)?,
        stored,
        virtual_size: codec::size("virtual_size_bytes", row.virtual_size_bytes)?,
        logical_digest: codec::parse("logical_digest", &row.logical_digest)?,
        task_id: TaskId::new(row.task_id),
        created_at: row.created_at,
        available_at: row.available_at,
        expires_at: row.expires_at,
    })
}

fn to_row(export: &Export) -> row::Model {
    let (storage_id, destination_kind) = match &export.place {
        ExportPlace::Storage(id) => (Some(id.uuid()), None),
        ExportPlace::Destination(kind) => (None, Some(kind.to_string())),
    };
    row::Model {
        id: export.id.uuid(),
        account_id: export.account_id.uuid(),
        image_id: export.image_id.uuid(),
        location_id: export.location_id.uuid(),
        storage_id,
        storage_key: export.key.clone(),
        format: export.form.format.to_string(),
        variant: export.form.variant.map(|variant| variant.to_string()),
        compression: export.form.compression.map(|compression| compression.to_string()),
        destination_kind,
        status: export.status.to_string(),
        size_bytes: export.stored.as_ref().map(|stored| ByteSize::as_i64(stored.size)),
        stored_digest: export.stored.as_ref().map(|stored| stored.digest.to_string()),
        sha256: export.stored.as_ref().map(|stored| stored.sha256.to_string()),
        virtual_size_bytes: export.virtual_size.as_i64(),
        logical_digest: export.logical_digest.to_string(),
        task_id: export.task_id.uuid(),
        created_at: export.created_at,
        available_at: export.available_at,
        expires_at: export.expires_at,
    }
}

/// Reads the export of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: ExportId) -> Result<Option<Export>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the export that a task writes or removes, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_task(conn: &Conn<'_>, id: TaskId) -> Result<Option<Export>, StoreError> {
    let found = row::Entity::find().filter(row::Column::TaskId.eq(id.uuid())).one(&conn.0).await?;
    found.map(from_row).transpose()
}

/// Reads the export of an image in a form that is there already or being made, if there is one that
/// can be downloaded.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn made(conn: &Conn<'_>, image: ImageId, form: ExportForm) -> Result<Option<Export>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::ImageId.eq(image.uuid()))
        .filter(row::Column::Format.eq(form.format.as_str()))
        .filter(row::Column::StorageId.is_not_null())
        .filter(
            row::Column::Status.is_in([ExportStatus::Creating.as_str(), ExportStatus::Available.as_str()]),
        )
        .all(&conn.0)
        .await?;
    let found: Vec<_> = rows.into_iter().map(from_row).collect::<Result<_, _>>()?;
    Ok(found.into_iter().find(|export| export.form == form))
}

/// Reads a page of the exports of an image, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_image(
    conn: &Conn<'_>,
    image: ImageId,
    after: Option<ExportId>,
    limit: u32,
) -> Result<Vec<Export>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::ImageId.eq(image.uuid()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads exports whose time is over, or whose image is gone or being removed, oldest first. Those
/// that are being made or removed are left out.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn over(conn: &Conn<'_>, now: Timestamp, limit: u32) -> Result<Vec<Export>, StoreError> {
    let kept = crate::image::ids_that_stay();
    let rows = row::Entity::find()
        .filter(row::Column::Status.is_in([ExportStatus::Available.as_str(), ExportStatus::Error.as_str()]))
        .filter(
            Condition::any()
                .add(row::Column::ExpiresAt.lte(now))
                .add(row::Column::ImageId.not_in_subquery(kept)),
        )
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Counts the exports of an account that are being made.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_creating(conn: &Conn<'_>, id: AccountId) -> Result<u64, StoreError> {
    let query = row::Entity::find()
        .filter(row::Column::AccountId.eq(id.uuid()))
        .filter(row::Column::Status.eq(ExportStatus::Creating.as_str()));
    Ok(query.count(&conn.0).await?)
}

/// Counts the exports of a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_location(conn: &Conn<'_>, id: LocationId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::LocationId.eq(id.uuid())).count(&conn.0).await?)
}

/// Counts the exports whose files are on a storage.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_storage(conn: &Conn<'_>, id: StorageId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::StorageId.eq(id.uuid())).count(&conn.0).await?)
}

/// Reads the keys of the exports whose files are on a storage.
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

/// Counts all exports by their status.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn counts(conn: &Conn<'_>) -> Result<Vec<ExportCount>, StoreError> {
    let query = row::Entity::find().select_only().column(row::Column::Status).column(row::Column::SizeBytes);
    let rows: Vec<(String, Option<i64>)> = query.into_tuple().all(&conn.0).await?;
    let mut counts: Vec<_> =
        ExportStatus::ALL.iter().map(|&status| ExportCount { status, count: 0, bytes: 0 }).collect();
    for (status, size) in rows {
        let status: ExportStatus = codec::parse("status", &status)?;
        let size = codec::opt_size("size_bytes", size)?.map_or(0, ByteSize::bytes);
        if let Some(of_status) = counts.iter_mut().find(|count| count.status == status) {
            of_status.count += 1;
            of_status.bytes = of_status.bytes.saturating_add(size);
        }
    }
    Ok(counts)
}

/// Adds an export.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the image has one of that form; [`StoreError`] when the database
/// fails.
pub async fn insert(tx: &WriteTx, export: &Export) -> Result<(), StoreError> {
    row::Entity::insert(to_row(export).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes an export's row to what the value says.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn update(tx: &WriteTx, export: &Export) -> Result<(), StoreError> {
    row::Entity::update(to_row(export).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes an export's row.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: ExportId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
