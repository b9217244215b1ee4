//! Shares of images with other accounts.

use std::collections::BTreeMap;

use imprint_domain::{
    id::{AccountId, ImageId, ShareId},
    share::{Share, ShareParts, ShareState},
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, Order, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, sea_query::SelectStatement,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "image_shares")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub image_id: Uuid,
        pub owner_id: Uuid,
        pub recipient_id: Uuid,
        pub state: String,
        pub offered_at: DateTimeUtc,
        pub decided_at: Option<DateTimeUtc>,
        pub ended_at: Option<DateTimeUtc>,
        pub expires_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn from_row(row: &row::Model) -> Result<Share, StoreError> {
    Ok(Share::from_parts(ShareParts {
        id: ShareId::new(row.id),
        image_id: ImageId::new(row.image_id),
        owner_id: AccountId::new(row.owner_id),
        recipient_id: AccountId::new(row.recipient_id),
        recorded: codec::parse("state", &row.state)?,
        offered_at: row.offered_at,
        decided_at: row.decided_at,
        ended_at: row.ended_at,
        expires_at: row.expires_at,
    }))
}

fn from_rows(rows: &[row::Model]) -> Result<Vec<Share>, StoreError> {
    rows.iter().map(from_row).collect()
}

fn to_row(share: &Share) -> row::Model {
    row::Model {
        id: share.id.uuid(),
        image_id: share.image_id.uuid(),
        owner_id: share.owner_id.uuid(),
        recipient_id: share.recipient_id.uuid(),
        state: share.recorded.to_string(),
        offered_at: share.offered_at,
        decided_at: share.decided_at,
        ended_at: share.ended_at,
        expires_at: share.expires_at,
    }
}

/// Accepts shares that are in one of these states at that time.
fn in_state(states: &[ShareState], now: Timestamp) -> Condition {
    let not_over = Condition::any().add(row::Column::ExpiresAt.is_null()).add(row::Column::ExpiresAt.gt(now));
    Condition::all().add(row::Column::State.is_in(states.iter().map(|state| state.as_str()))).add(not_over)
}

const OPEN: [ShareState; 2] = [ShareState::Offered, ShareState::Accepted];

/// Selects the ids of the images that an account may use by shares at that time.
pub(crate) fn images_shared_with(account: AccountId, now: Timestamp) -> SelectStatement {
    row::Entity::find()
        .select_only()
        .column_as(row::Column::ImageId, "id")
        .filter(row::Column::RecipientId.eq(account.uuid()))
        .filter(in_state(&[ShareState::Accepted], now))
        .into_query()
}

/// Reads the share of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: ShareId) -> Result<Option<Share>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.as_ref().map(from_row).transpose()
}

/// Reads the share of an image with an account, if there is one, in whatever state.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_image_with(
    conn: &Conn<'_>,
    image: ImageId,
    recipient: AccountId,
) -> Result<Option<Share>, StoreError> {
    let found = row::Entity::find()
        .filter(row::Column::ImageId.eq(image.uuid()))
        .filter(row::Column::RecipientId.eq(recipient.uuid()))
        .one(&conn.0)
        .await?;
    found.as_ref().map(from_row).transpose()
}

/// Reads the shares that permit an account to use those images at that time.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn permitting(
    conn: &Conn<'_>,
    account: AccountId,
    images: &[ImageId],
    now: Timestamp,
) -> Result<BTreeMap<ImageId, Share>, StoreError> {
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = row::Entity::find()
        .filter(row::Column::RecipientId.eq(account.uuid()))
        .filter(in_state(&[ShareState::Accepted], now))
        .filter(row::Column::ImageId.is_in(images.iter().map(|id| id.uuid())))
        .all(&conn.0)
        .await?;
    Ok(from_rows(&rows)?.into_iter().map(|share| (share.image_id, share)).collect())
}

/// Counts the open shares of an image at that time.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_open(conn: &Conn<'_>, image: ImageId, now: Timestamp) -> Result<u64, StoreError> {
    let open = row::Entity::find().filter(row::Column::ImageId.eq(image.uuid())).filter(in_state(&OPEN, now));
    Ok(open.count(&conn.0).await?)
}

/// Reads the shares of an image that are recorded as offered or accepted, those included that have
/// expired meanwhile.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn recorded_open(conn: &Conn<'_>, image: ImageId) -> Result<Vec<Share>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::ImageId.eq(image.uuid()))
        .filter(row::Column::EndedAt.is_null())
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    from_rows(&rows)
}

/// Reads the accounts that may use an image by its shares at that time.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn recipients(
    conn: &Conn<'_>,
    image: ImageId,
    now: Timestamp,
) -> Result<Vec<AccountId>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::ImageId.eq(image.uuid()))
        .filter(in_state(&[ShareState::Accepted], now))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    Ok(rows.into_iter().map(|row| AccountId::new(row.recipient_id)).collect())
}

/// Reads a page of the shares of an image, latest first, after one of them where it is given.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_image(
    conn: &Conn<'_>,
    image: ImageId,
    after: Option<ShareId>,
    limit: u32,
) -> Result<Vec<Share>, StoreError> {
    let mut query = row::Entity::find().filter(row::Column::ImageId.eq(image.uuid()));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.lt(after.uuid()));
    }
    let rows = query.order_by(row::Column::Id, Order::Desc).limit(u64::from(limit)).all(&conn.0).await?;
    from_rows(&rows)
}

/// Reads a page of the shares with an account that are in one of these states at that time, latest
/// first, after one of them where it is given.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn with_account(
    conn: &Conn<'_>,
    account: AccountId,
    states: &[ShareState],
    now: Timestamp,
    after: Option<ShareId>,
    limit: u32,
) -> Result<Vec<Share>, StoreError> {
    let mut query =
        row::Entity::find().filter(row::Column::RecipientId.eq(account.uuid())).filter(in_state(states, now));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.lt(after.uuid()));
    }
    let rows = query.order_by(row::Column::Id, Order::Desc).limit(u64::from(limit)).all(&conn.0).await?;
    from_rows(&rows)
}

/// Reads open shares that have expired at that time, the longest expired first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn expired(conn: &Conn<'_>, now: Timestamp, limit: u32) -> Result<Vec<Share>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::EndedAt.is_null())
        .filter(row::Column::ExpiresAt.lte(now))
        .order_by_asc(row::Column::ExpiresAt)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    from_rows(&rows)
}

/// Adds a share; [`StoreError::Duplicate`] when the image has one with that account.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, share: &Share) -> Result<(), StoreError> {
    row::Entity::insert(to_row(share).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a share's row to what the share says.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn update(tx: &WriteTx, share: &Share) -> Result<(), StoreError> {
    row::Entity::update(to_row(share).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a share's row.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: ShareId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}

/// Deletes shares that were over at `before`, and returns their number.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete_older(tx: &WriteTx, before: Timestamp) -> Result<u64, StoreError> {
    let done = row::Entity::delete_many().filter(row::Column::EndedAt.lte(before)).exec(&tx.0).await?;
    Ok(done.rows_affected)
}
