//! Budgets: the amounts of a month at which an account is notified, and at which it may not make
//! images any more.

use imprint_domain::id::AccountId;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};

use crate::{Conn, StoreError, WriteTx};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_budgets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: Uuid,
        pub currency: String,
        pub notify_amount: Option<String>,
        pub stop_amount: Option<String>,
        pub spent_month: Option<String>,
        pub spent: Option<String>,
        pub notified_month: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A budget, with what the account has spent as the last run of the hourly job saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRecord {
    /// The account.
    pub account_id: AccountId,
    /// The currency of the amounts.
    pub currency: String,
    /// The amount at which the account is notified.
    pub notify: Option<String>,
    /// The amount at which capture and import stop.
    pub stop: Option<String>,
    /// The month and its cost so far.
    pub spent: Option<(String, String)>,
    /// The month in which the account was notified last.
    pub notified_month: Option<String>,
}

fn from_row(row: row::Model) -> BudgetRecord {
    BudgetRecord {
        account_id: AccountId::new(row.account_id),
        currency: row.currency,
        notify: row.notify_amount,
        stop: row.stop_amount,
        spent: row.spent_month.zip(row.spent),
        notified_month: row.notified_month,
    }
}

/// Reads the budget of an account, if it has one.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn get(conn: &Conn<'_>, account: AccountId) -> Result<Option<BudgetRecord>, StoreError> {
    Ok(row::Entity::find_by_id(account.uuid()).one(&conn.0).await?.map(from_row))
}

/// Reads budgets in the order of their accounts, after one where it is given.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn list(
    conn: &Conn<'_>,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<BudgetRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::AccountId).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::AccountId.gt(after.uuid()));
    }
    Ok(query.all(&conn.0).await?.into_iter().map(from_row).collect())
}

/// Writes a budget over the one that the account had.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(tx: &WriteTx, budget: &BudgetRecord) -> Result<(), StoreError> {
    let (spent_month, spent) = budget.spent.clone().unzip();
    let row = row::Model {
        account_id: budget.account_id.uuid(),
        currency: budget.currency.clone(),
        notify_amount: budget.notify.clone(),
        stop_amount: budget.stop.clone(),
        spent_month,
        spent,
        notified_month: budget.notified_month.clone(),
    };
    row::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::column(row::Column::AccountId)
                .update_columns([
                    row::Column::Currency,
                    row::Column::NotifyAmount,
                    row::Column::StopAmount,
                    row::Column::SpentMonth,
                    row::Column::Spent,
                    row::Column::NotifiedMonth,
                ])
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}

/// Removes the budget of an account.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, account: AccountId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(account.uuid()).exec(&tx.0).await?;
    Ok(())
}
