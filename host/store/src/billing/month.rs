//! Closed months: what was charged in them, frozen.

use imprint_domain::{id::AccountId, time::Timestamp};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx};

/// The most rows of one statement.
const ROWS_AT_ONCE: usize = 2000;

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_months")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub month: String,
        pub time_zone: String,
        pub closed_at: DateTimeUtc,
        pub closed_by: Option<Uuid>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod line {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "statement_lines")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub month: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub position: i64,
        pub line: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A closed month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedMonth {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The name of the time zone that it is a month of.
    pub time_zone: String,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// The admin that closed it; `None` when the time for it had come.
    pub closed_by: Option<AccountId>,
}

fn from_row(row: row::Model) -> ClosedMonth {
    ClosedMonth {
        month: row.month,
        time_zone: row.time_zone,
        closed_at: row.closed_at,
        closed_by: row.closed_by.map(AccountId::new),
    }
}

/// Reads a closed month.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn get(conn: &Conn<'_>, month: &str) -> Result<Option<ClosedMonth>, StoreError> {
    Ok(row::Entity::find_by_id(month.to_owned()).one(&conn.0).await?.map(from_row))
}

/// Reads the closed months, latest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn list(conn: &Conn<'_>, limit: u32) -> Result<Vec<ClosedMonth>, StoreError> {
    let rows =
        row::Entity::find().order_by_desc(row::Column::Month).limit(u64::from(limit)).all(&conn.0).await?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Closes a month. Its lines are there.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, month: &ClosedMonth) -> Result<(), StoreError> {
    let row = row::Model {
        month: month.month.clone(),
        time_zone: month.time_zone.clone(),
        closed_at: month.closed_at,
        closed_by: month.closed_by.map(AccountId::uuid),
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Writes the lines of an account in a month that is being closed; those that an interrupted run
/// has written stay.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert_lines(
    tx: &WriteTx,
    month: &str,
    account: AccountId,
    lines: &[String],
) -> Result<(), StoreError> {
    let mut position = 0;
    for part in lines.chunks(ROWS_AT_ONCE) {
        let rows = part.iter().map(|text| {
            position += 1;
            line::Model { month: month.to_owned(), account_id: account.uuid(), position, line: text.clone() }
                .into_active_model()
        });
        let rows: Vec<line::ActiveModel> = rows.collect();
        let once =
            OnConflict::columns([line::Column::Month, line::Column::AccountId, line::Column::Position])
                .do_nothing()
                .to_owned();
        line::Entity::insert_many(rows).on_conflict(once).exec_without_returning(&tx.0).await?;
    }
    Ok(())
}

/// Reads the lines of an account in a month, in their order.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn lines(conn: &Conn<'_>, month: &str, account: AccountId) -> Result<Vec<String>, StoreError> {
    let lines = line::Entity::find()
        .select_only()
        .column(line::Column::Line)
        .filter(line::Column::Month.eq(month))
        .filter(line::Column::AccountId.eq(account.uuid()))
        .order_by_asc(line::Column::Position)
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(lines)
}

/// Returns the accounts that have lines in a month.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn accounts(conn: &Conn<'_>, month: &str) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<Uuid> = line::Entity::find()
        .select_only()
        .column(line::Column::AccountId)
        .distinct()
        .filter(line::Column::Month.eq(month))
        .order_by_asc(line::Column::AccountId)
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(ids.into_iter().map(AccountId::new).collect())
}
