//! The tags of images: a row for each.

use std::collections::BTreeMap;

use imprint_domain::{
    id::AccountId,
    image::Image,
    tag::{Tag, Tags},
};
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, Query, SelectStatement},
};
use uuid::Uuid;

use super::{filter::ID, row as image};
use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_tags")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub account_id: Uuid,
        pub tag: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Reads the tags of those images; those without any are left out.
pub(super) async fn of_images(conn: &Conn<'_>, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Tags>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found =
        row::Entity::find().filter(row::Column::ImageId.is_in(ids.iter().copied())).all(&conn.0).await?;
    let mut tags: BTreeMap<Uuid, Vec<Tag>> = BTreeMap::new();
    for row in found {
        let tag = Tag::parse(&row.tag).map_err(|error| codec::corrupt("tag", error))?;
        tags.entry(row.image_id).or_default().push(tag);
    }
    let checked = |(id, tags)| Ok((id, Tags::new(tags).map_err(|error| codec::corrupt("tag", error))?));
    tags.into_iter().map(checked).collect()
}

/// Writes the tags of an image in place of those that are there.
pub(super) async fn replace(tx: &WriteTx, image: &Image) -> Result<(), StoreError> {
    row::Entity::delete_many().filter(row::Column::ImageId.eq(image.id.uuid())).exec(&tx.0).await?;
    add(tx, image).await
}

/// Writes the tags of an image that has none yet.
pub(super) async fn add(tx: &WriteTx, image: &Image) -> Result<(), StoreError> {
    if image.tags.is_empty() {
        return Ok(());
    }
    let rows = image.tags.iter().map(|tag| {
        let row = row::Model {
            image_id: image.id.uuid(),
            key: tag.key(),
            account_id: image.account_id.uuid(),
            tag: tag.to_string(),
        };
        row.into_active_model()
    });
    row::Entity::insert_many(rows).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Selects the ids of the images with that tag: of one account, or of all.
pub(super) fn tagged(key: &str, account: Option<AccountId>) -> SelectStatement {
    let mut query = row::Entity::find()
        .select_only()
        .column_as(row::Column::ImageId, ID)
        .filter(row::Column::Key.eq(key));
    if let Some(account) = account {
        query = query.filter(row::Column::AccountId.eq(account.uuid()));
    }
    query.into_query()
}

/// Selects that tag of the image of the surrounding statement.
pub(super) fn tag_of_image(key: &str) -> SelectStatement {
    let of_image = Expr::col((row::Entity, row::Column::ImageId)).equals((image::Entity, image::Column::Id));
    Query::select()
        .column((row::Entity, row::Column::Tag))
        .from(row::Entity)
        .and_where(of_image)
        .and_where(Expr::col((row::Entity, row::Column::Key)).eq(key))
        .to_owned()
}
