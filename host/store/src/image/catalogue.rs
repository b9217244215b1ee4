//! How stock images are offered.

use imprint_domain::{
    id::{ImageId, LocationId, MediaGroupId},
    image::{
        ImageKind, ImageStatus,
        catalogue::{CatalogueEntry, Deprecation, Edition, FamilyMember, GuestSystem, ImageFamily},
    },
};
use sea_orm::{
    ColumnTrait, Condition, DatabaseBackend, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::{filter::hidden, row};
use crate::{Conn, StoreError, codec, media_group};

/// Returns what the system of an image is.
pub(super) fn guest(row: &row::Model) -> Result<GuestSystem, StoreError> {
    Ok(GuestSystem { os_type: codec::parse("os_type", &row.os_type)?, cloud_init: row.cloud_init })
}

/// Returns how an image is offered.
pub(super) fn entry(row: &row::Model) -> Result<CatalogueEntry, StoreError> {
    let edition = match (&row.family, &row.family_version) {
        (Some(family), Some(version)) => Some(edition(family, version)?),
        (Some(_), None) | (None, Some(_)) => {
            return Err(codec::corrupt("family", "a family without a version, or the reverse"));
        }
        (None, None) => None,
    };
    let deprecation = row
        .deprecation
        .as_deref()
        .map(|notice| Deprecation::new(notice, row.replacement_id.map(ImageId::new)))
        .transpose()
        .map_err(|error| codec::corrupt("deprecation", error))?;
    Ok(CatalogueEntry {
        media_group_id: row.media_group_id.map(MediaGroupId::new),
        edition,
        deprecation,
        hidden: row.hidden,
    })
}

fn edition(family: &str, version: &str) -> Result<Edition, StoreError> {
    let version = codec::parse("family_version", version)?;
    Ok(Edition { family: codec::parse("family", family)?, version })
}

/// The condition that customers are offered an image, where it is a stock image.
pub(super) fn offered(backend: DatabaseBackend) -> Condition {
    let group = || hidden(backend, row::Column::MediaGroupId);
    Condition::all()
        .add(hidden(backend, row::Column::Hidden).eq(false))
        .add(Condition::any().add(group().is_null()).add(group().not_in_subquery(media_group::hidden_ids())))
}

/// Reads the images of some families that a deployment by the family may take: those that
/// [`Image::is_current`](imprint_domain::image::Image::is_current).
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn current_of_families(
    conn: &Conn<'_>,
    families: &[&ImageFamily],
) -> Result<Vec<FamilyMember>, StoreError> {
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(Uuid, Uuid, String, String)> = row::Entity::find()
        .select_only()
        .columns([row::Column::Id, row::Column::LocationId, row::Column::Family, row::Column::FamilyVersion])
        .filter(row::Column::Family.is_in(families.iter().map(|family| family.as_str())))
        .filter(row::Column::Kind.eq(ImageKind::Stock.as_str()))
        .filter(row::Column::Status.eq(ImageStatus::Available.as_str()))
        .filter(row::Column::Deprecation.is_null())
        .filter(offered(sea_orm::ConnectionTrait::get_database_backend(&conn.0)))
        .into_tuple()
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|(id, location, family, version)| {
            Ok(FamilyMember {
                image_id: ImageId::new(id),
                location_id: LocationId::new(location),
                edition: edition(&family, &version)?,
            })
        })
        .collect()
}

/// Counts the images of a media group.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_media_group(conn: &Conn<'_>, id: MediaGroupId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::MediaGroupId.eq(id.uuid())).count(&conn.0).await?)
}
