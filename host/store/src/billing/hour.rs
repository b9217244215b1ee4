//! The hours that were metered: one row for each subject and hour, written once.

use imprint_domain::id::{AccountId, LocationId};
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict, SimpleExpr},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx};

/// The most rows of one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
const ROWS_AT_ONCE: usize = 2000;

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_hours")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hour: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub subject_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub location_id: Uuid,
        pub account_id: Uuid,
        pub kind: String,
        pub name: String,
        pub quantity: String,
        pub rate_id: Option<Uuid>,
        pub amount: Option<String>,
        pub currency: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The place of a row in the order of all hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HourKey {
    /// The hour, in hours since 1970.
    pub hour: i64,
    /// The image, the instance, or the account of an allowance.
    pub subject_id: Uuid,
    /// The location.
    pub location_id: Uuid,
}

/// What was charged for an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCharge {
    /// The version of the rate.
    pub rate_id: Uuid,
    /// The exact amount, as text.
    pub amount: String,
    /// The currency.
    pub currency: String,
}

/// An hour of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageHour {
    /// Its place in the order.
    pub key: HourKey,
    /// The account that pays.
    pub account_id: AccountId,
    /// `image`, `instance`, or `allowance`.
    pub kind: String,
    /// The name of the subject in that hour.
    pub name: String,
    /// How much of what was used, as text.
    pub quantity: String,
    /// What it costs; `None` without a rate.
    pub charge: Option<HourCharge>,
}

impl UsageHour {
    /// Returns the location.
    pub const fn location_id(&self) -> LocationId {
        LocationId::new(self.key.location_id)
    }
}

fn from_row(row: row::Model) -> UsageHour {
    let charge = match (row.rate_id, row.amount, row.currency) {
        (Some(rate_id), Some(amount), Some(currency)) => Some(HourCharge { rate_id, amount, currency }),
        (Some(_) | None, Some(_) | None, Some(_) | None) => None,
    };
    UsageHour {
        key: HourKey { hour: row.hour, subject_id: row.subject_id, location_id: row.location_id },
        account_id: AccountId::new(row.account_id),
        kind: row.kind,
        name: row.name,
        quantity: row.quantity,
        charge,
    }
}

fn to_row(hour: &UsageHour) -> row::Model {
    let charge = hour.charge.as_ref();
    row::Model {
        hour: hour.key.hour,
        subject_id: hour.key.subject_id,
        location_id: hour.key.location_id,
        account_id: hour.account_id.uuid(),
        kind: hour.kind.clone(),
        name: hour.name.clone(),
        quantity: hour.quantity.clone(),
        rate_id: charge.map(|charge| charge.rate_id),
        amount: charge.map(|charge| charge.amount.clone()),
        currency: charge.map(|charge| charge.currency.clone()),
    }
}

/// Adds those rows that are not there yet: what was metered before stays as it is. Returns how many
/// were added.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert_missing(tx: &WriteTx, hours: &[UsageHour]) -> Result<u64, StoreError> {
    let mut added = 0;
    for part in hours.chunks(ROWS_AT_ONCE) {
        let rows = part.iter().map(|hour| to_row(hour).into_active_model());
        let once = OnConflict::columns([row::Column::Hour, row::Column::SubjectId, row::Column::LocationId])
            .do_nothing()
            .to_owned();
        added += row::Entity::insert_many(rows).on_conflict(once).exec_without_returning(&tx.0).await?;
    }
    Ok(added)
}

/// Reads the hours after `after` and before the hour `until`, in order.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn after(
    conn: &Conn<'_>,
    after: Option<HourKey>,
    until: i64,
    limit: u32,
) -> Result<Vec<UsageHour>, StoreError> {
    let mut query = row::Entity::find().filter(row::Column::Hour.lt(until));
    if let Some(after) = after {
        let key = [row::Column::Hour, row::Column::SubjectId, row::Column::LocationId];
        let key = Expr::tuple(key.map(|column| SimpleExpr::from(Expr::col(column))));
        let last: [SimpleExpr; 3] =
            [Expr::value(after.hour), Expr::value(after.subject_id), Expr::value(after.location_id)];
        query = query.filter(key.gt(Expr::tuple(last)));
    }
    let rows = query
        .order_by_asc(row::Column::Hour)
        .order_by_asc(row::Column::SubjectId)
        .order_by_asc(row::Column::LocationId)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Reads the hours of an account from `from` until before `until`, in order.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn of_account(
    conn: &Conn<'_>,
    account: AccountId,
    (from, until): (i64, i64),
) -> Result<Vec<UsageHour>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::AccountId.eq(account.uuid()))
        .filter(row::Column::Hour.gte(from))
        .filter(row::Column::Hour.lt(until))
        .order_by_asc(row::Column::Hour)
        .order_by_asc(row::Column::SubjectId)
        .order_by_asc(row::Column::LocationId)
        .all(&conn.0)
        .await?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Counts the rows of an hour.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count(conn: &Conn<'_>, hour: i64) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::Hour.eq(hour)).count(&conn.0).await?)
}

/// Returns the accounts that have rows from the hour `from` until before `until`, in order, after
/// one of them where it is given.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn accounts(conn: &Conn<'_>, (from, until): (i64, i64)) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::AccountId)
        .distinct()
        .filter(row::Column::Hour.gte(from))
        .filter(row::Column::Hour.lt(until))
        .order_by_asc(row::Column::AccountId)
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(ids.into_iter().map(AccountId::new).collect())
}
