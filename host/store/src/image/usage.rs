//! What the images of accounts take of their limits: a counter for each account and location, kept
//! in the transactions that change images, so that no list counts images on the way.

use std::collections::BTreeMap;

use imprint_domain::{
    id::{AccountId, LocationId},
    image::Image,
    image::ImageUsage,
};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, sea_query::Expr};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_usage")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub location_id: Uuid,
        pub images: i64,
        pub bytes: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Reads what the images of an account take, for each location where it has or had any.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn usage_of_account(
    conn: &Conn<'_>,
    account: AccountId,
) -> Result<Vec<(LocationId, ImageUsage)>, StoreError> {
    let rows = row::Entity::find().filter(row::Column::AccountId.eq(account.uuid())).all(&conn.0).await?;
    rows.iter().map(|row| Ok((LocationId::new(row.location_id), of_row(row)?))).collect()
}

/// Reads what the images of some accounts take, in all locations together. Accounts that never had
/// an image are not in it.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn usage_of_accounts(
    conn: &Conn<'_>,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, ImageUsage>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::AccountId.is_in(accounts.iter().map(|id| id.uuid())))
        .all(&conn.0)
        .await?;
    let mut usage: BTreeMap<AccountId, ImageUsage> = BTreeMap::new();
    for row in rows {
        let sum = usage.entry(AccountId::new(row.account_id)).or_default();
        *sum = sum.plus(of_row(&row)?);
    }
    Ok(usage)
}

fn of_row(row: &row::Model) -> Result<ImageUsage, StoreError> {
    Ok(ImageUsage { images: codec::to_u32("images", row.images)?, bytes: codec::size("bytes", row.bytes)? })
}

/// Counts the change of an image: what it took before, and what it takes now. Its account and its
/// location never change.
pub(super) async fn count(
    tx: &WriteTx,
    before: Option<&Image>,
    after: Option<&Image>,
) -> Result<(), StoreError> {
    let Some(image) = after.or(before) else { return Ok(()) };
    let usage = |image: Option<&Image>| image.map(Image::usage).unwrap_or_default();
    let (was, is) = (usage(before), usage(after));
    if was == is {
        return Ok(());
    }
    let images = i64::from(is.images) - i64::from(was.images);
    let bytes = is.bytes.as_i64() - was.bytes.as_i64();
    let (account, location) = (image.account_id.uuid(), image.location_id.uuid());
    let add = |column: row::Column, by: i64| Expr::col(column).add(by);
    let done = row::Entity::update_many()
        .col_expr(row::Column::Images, add(row::Column::Images, images))
        .col_expr(row::Column::Bytes, add(row::Column::Bytes, bytes))
        .filter(row::Column::AccountId.eq(account))
        .filter(row::Column::LocationId.eq(location))
        .exec(&tx.0)
        .await?;
    if done.rows_affected == 0 {
        let first = row::Model { account_id: account, location_id: location, images, bytes };
        row::Entity::insert(first.into_active_model()).exec_without_returning(&tx.0).await?;
    }
    Ok(())
}
