//! Adjustments: corrections of closed months, each charged or credited in a month that is open.

use imprint_domain::{id::AccountId, time::Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_adjustments")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub currency: String,
        pub amount: String,
        pub reason: String,
        pub corrects: String,
        pub charged_in: String,
        pub created_at: DateTimeUtc,
        pub created_by: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An adjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The adjustment's id.
    pub id: Uuid,
    /// The account.
    pub account_id: AccountId,
    /// The currency.
    pub currency: String,
    /// The amount as text; negative for a credit.
    pub amount: String,
    /// Why, for the customer to read.
    pub reason: String,
    /// The month that it corrects, `YYYY-MM`.
    pub corrects: String,
    /// The month in which it is charged, `YYYY-MM`.
    pub charged_in: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The admin that made it.
    pub created_by: AccountId,
}

fn from_row(row: row::Model) -> Adjustment {
    Adjustment {
        id: row.id,
        account_id: AccountId::new(row.account_id),
        currency: row.currency,
        amount: row.amount,
        reason: row.reason,
        corrects: row.corrects,
        charged_in: row.charged_in,
        created_at: row.created_at,
        created_by: AccountId::new(row.created_by),
    }
}

/// Reads a page of adjustments, latest first: of one account, or of all.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn list(
    conn: &Conn<'_>,
    account: Option<AccountId>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Adjustment>, StoreError> {
    let mut query = row::Entity::find().order_by_desc(row::Column::Id).limit(u64::from(limit));
    if let Some(account) = account {
        query = query.filter(row::Column::AccountId.eq(account.uuid()));
    }
    if let Some(before) = before {
        query = query.filter(row::Column::Id.lt(before));
    }
    Ok(query.all(&conn.0).await?.into_iter().map(from_row).collect())
}

/// Reads the adjustments that are charged in a month, oldest first: of one account, or of all.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn charged_in(
    conn: &Conn<'_>,
    account: Option<AccountId>,
    month: &str,
) -> Result<Vec<Adjustment>, StoreError> {
    let mut query = row::Entity::find().filter(row::Column::ChargedIn.eq(month));
    if let Some(account) = account {
        query = query.filter(row::Column::AccountId.eq(account.uuid()));
    }
    let rows = query.order_by_asc(row::Column::Id).all(&conn.0).await?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Adds an adjustment.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, adjustment: &Adjustment) -> Result<(), StoreError> {
    let row = row::Model {
        id: adjustment.id,
        account_id: adjustment.account_id.uuid(),
        currency: adjustment.currency.clone(),
        amount: adjustment.amount.clone(),
        reason: adjustment.reason.clone(),
        corrects: adjustment.corrects.clone(),
        charged_in: adjustment.charged_in.clone(),
        created_at: adjustment.created_at,
        created_by: adjustment.created_by.uuid(),
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Reads the adjustment of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn get(conn: &Conn<'_>, id: Uuid) -> Result<Option<Adjustment>, StoreError> {
    Ok(row::Entity::find_by_id(id).one(&conn.0).await?.map(from_row))
}
