//! Imports of images: where the file of each came from, and what it was.

use imprint_domain::{
    id::ImageId,
    import::{ImageImport, ImportedFile},
    size::ByteSize,
};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_imports")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image_id: Uuid,
        pub source: String,
        pub origin: String,
        pub announced_bytes: Option<i64>,
        pub file_bytes: Option<i64>,
        pub format: Option<String>,
        pub packing: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn from_row(row: row::Model) -> Result<ImageImport, StoreError> {
    let file = match (row.file_bytes, row.format) {
        (Some(size), Some(format)) => Some(ImportedFile {
            size: codec::size("file_bytes", size)?,
            format: codec::parse("format", &format)?,
            packing: row.packing.as_deref().map(|text| codec::parse("packing", text)).transpose()?,
        }),
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    Ok(ImageImport {
        image_id: ImageId::new(row.image_id),
        source: codec::parse("source", &row.source)?,
        origin: row.origin,
        announced: codec::opt_size("announced_bytes", row.announced_bytes)?,
        file,
    })
}

fn to_row(import: &ImageImport) -> row::Model {
    row::Model {
        image_id: import.image_id.uuid(),
        source: import.source.to_string(),
        origin: import.origin.clone(),
        announced_bytes: import.announced.map(ByteSize::as_i64),
        file_bytes: import.file.map(|file| file.size.as_i64()),
        format: import.file.map(|file| file.format.to_string()),
        packing: import.file.and_then(|file| file.packing).map(|packing| packing.to_string()),
    }
}

/// Reads the import of an image, if it was imported.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: ImageId) -> Result<Option<ImageImport>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the imports of those images that were imported.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_images(conn: &Conn<'_>, ids: &[ImageId]) -> Result<Vec<ImageImport>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = ids.iter().map(|id| id.uuid());
    let rows = row::Entity::find().filter(row::Column::ImageId.is_in(wanted)).all(&conn.0).await?;
    rows.into_iter().map(from_row).collect()
}

/// Adds an import. The image's row is there.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, import: &ImageImport) -> Result<(), StoreError> {
    row::Entity::insert(to_row(import).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes an import's row to what it says.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn update(tx: &WriteTx, import: &ImageImport) -> Result<(), StoreError> {
    row::Entity::update(to_row(import).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}
