//! Locations.

use std::str::FromStr;

use imprint_domain::{
    coalesce::CoalescePolicy, id::LocationId, import::ImportPolicy, location::Location, size::ByteSize,
    support::Support, time::Timestamp, windows::WindowsBounds,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "locations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub images_enabled: bool,
        pub default_image_limit: Option<i64>,
        pub coalesce_before_capture: bool,
        pub coalesce_timeout_s: i64,
        pub freeze_limit_ms: i64,
        pub created_at: DateTimeUtc,
        pub default_image_bytes_limit: Option<i64>,
        pub sharing_enabled: bool,
        pub capture_format: String,
        pub windows_limit_bytes: i64,
        pub windows_warning_bytes: i64,
        pub reclaim_limit_s: i64,
        pub support_text: Option<String>,
        pub support_url: Option<String>,
        pub status_url: Option<String>,
        pub iso_enabled: bool,
        pub import_enabled: bool,
        pub import_profile: String,
        pub import_limit_bytes: i64,
        pub import_windows: bool,
        pub export_enabled: bool,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A location with its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationRecord {
    /// The location.
    pub location: Location,
    /// When it was created.
    pub created_at: Timestamp,
}

fn from_row(row: row::Model) -> Result<LocationRecord, StoreError> {
    Ok(LocationRecord {
        location: Location {
            id: LocationId::new(row.id),
            name: codec::name(&row.name)?,
            images_enabled: row.images_enabled,
            sharing_enabled: row.sharing_enabled,
            iso_enabled: row.iso_enabled,
            export_enabled: row.export_enabled,
            default_image_limit: row
                .default_image_limit
                .map(|limit| codec::to_u32("default_image_limit", limit))
                .transpose()?,
            default_image_bytes_limit: row
                .default_image_bytes_limit
                .map(|limit| codec::size("default_image_bytes_limit", limit))
                .transpose()?,
            coalesce: CoalescePolicy {
                before_capture: row.coalesce_before_capture,
                timeout: codec::coalesce_timeout(row.coalesce_timeout_s)?,
            },
            freeze_limit: codec::freeze_limit(row.freeze_limit_ms)?,
            import: ImportPolicy {
                enabled: row.import_enabled,
                profile: codec::parse("import_profile", &row.import_profile)?,
                largest_disk: codec::size("import_limit_bytes", row.import_limit_bytes)?,
                windows: row.import_windows,
            },
            reclaim_limit: codec::reclaim_limit(row.reclaim_limit_s)?,
            capture_format: codec::parse("capture_format", &row.capture_format)?,
            windows: WindowsBounds {
                limit: codec::size("windows_limit_bytes", row.windows_limit_bytes)?,
                warning: codec::size("windows_warning_bytes", row.windows_warning_bytes)?,
            },
            support: Support {
                text: parsed("support_text", row.support_text.as_deref())?,
                url: parsed("support_url", row.support_url.as_deref())?,
                status_url: parsed("status_url", row.status_url.as_deref())?,
            },
            version: codec::to_u32("version", row.version)?,
        },
        created_at: row.created_at,
    })
}

fn parsed<T: FromStr>(column: &'static str, text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(|text| codec::parse(column, text)).transpose()
}

fn to_row(record: &LocationRecord) -> row::Model {
    row::Model {
        id: record.location.id.uuid(),
        name: record.location.name.to_string(),
        images_enabled: record.location.images_enabled,
        default_image_limit: record.location.default_image_limit.map(i64::from),
        coalesce_before_capture: record.location.coalesce.before_capture,
        coalesce_timeout_s: i64::from(record.location.coalesce.timeout.seconds()),
        freeze_limit_ms: i64::from(record.location.freeze_limit.milliseconds()),
        created_at: record.created_at,
        default_image_bytes_limit: record.location.default_image_bytes_limit.map(ByteSize::as_i64),
        sharing_enabled: record.location.sharing_enabled,
        import_enabled: record.location.import.enabled,
        import_profile: record.location.import.profile.to_string(),
        import_limit_bytes: record.location.import.largest_disk.as_i64(),
        import_windows: record.location.import.windows,
        reclaim_limit_s: i64::from(record.location.reclaim_limit.seconds()),
        capture_format: record.location.capture_format.to_string(),
        windows_limit_bytes: record.location.windows.limit.as_i64(),
        windows_warning_bytes: record.location.windows.warning.as_i64(),
        support_text: record.location.support.text.as_ref().map(ToString::to_string),
        support_url: record.location.support.url.as_ref().map(ToString::to_string),
        status_url: record.location.support.status_url.as_ref().map(ToString::to_string),
        iso_enabled: record.location.iso_enabled,
        export_enabled: record.location.export_enabled,
        version: i64::from(record.location.version),
    }
}

/// Reads the location of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: LocationId) -> Result<Option<LocationRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the location of that name, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_name(conn: &Conn<'_>, name: &str) -> Result<Option<LocationRecord>, StoreError> {
    let found = row::Entity::find().filter(row::Column::Name.eq(name)).one(&conn.0).await?;
    found.map(from_row).transpose()
}

/// Reads a page of locations, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    after: Option<LocationId>,
    limit: u32,
) -> Result<Vec<LocationRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Adds a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &LocationRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a location's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &LocationRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails, or when something refers to the location.
pub async fn delete(tx: &WriteTx, id: LocationId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
