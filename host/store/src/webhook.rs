//! Webhooks, and the attempts to deliver their messages: [`delivery`].

pub mod delivery;

use imprint_domain::{
    id::{AccountId, WebhookId},
    name::Name,
    time::Timestamp,
    webhook::EventPatterns,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhooks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub name: String,
        pub url: String,
        pub events: String,
        pub enabled: bool,
        pub given_up: bool,
        pub delivered: i64,
        pub test_requested: bool,
        pub failures: i64,
        pub failing_since: Option<DateTimeUtc>,
        pub next_at: DateTimeUtc,
        pub created_at: DateTimeUtc,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A webhook without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRecord {
    /// The webhook's id.
    pub id: WebhookId,
    /// The account that has it.
    pub account_id: AccountId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The address that messages are sent to.
    pub url: String,
    /// Which events are sent.
    pub events: EventPatterns,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Whether it was switched off because a message failed too often.
    pub given_up: bool,
    /// The number of the last event that was delivered or is not sent.
    pub delivered: u64,
    /// Whether a message to test it is to be sent.
    pub test_requested: bool,
    /// The attempts of the next message that have failed.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// When the next message is sent at the earliest; in the future while one is being sent.
    pub next_at: Timestamp,
    /// When it was created.
    pub created_at: Timestamp,
    /// Increases with every change by its owner; the ETag.
    pub version: u32,
}

fn from_row(row: row::Model) -> Result<WebhookRecord, StoreError> {
    let events = row.events.parse().map_err(|_| codec::corrupt("events", &row.events))?;
    Ok(WebhookRecord {
        id: WebhookId::new(row.id),
        account_id: AccountId::new(row.account_id),
        name: codec::name(&row.name)?,
        url: row.url,
        events,
        enabled: row.enabled,
        given_up: row.given_up,
        delivered: codec::to_u64("delivered", row.delivered)?,
        test_requested: row.test_requested,
        failures: codec::to_u32("failures", row.failures)?,
        failing_since: row.failing_since,
        next_at: row.next_at,
        created_at: row.created_at,
        version: codec::to_u32("version", row.version)?,
    })
}

fn to_row(record: &WebhookRecord) -> row::Model {
    row::Model {
        id: record.id.uuid(),
        account_id: record.account_id.uuid(),
        name: record.name.to_string(),
        url: record.url.clone(),
        events: record.events.to_string(),
        enabled: record.enabled,
        given_up: record.given_up,
        delivered: codec::to_i64(record.delivered),
        test_requested: record.test_requested,
        failures: i64::from(record.failures),
        failing_since: record.failing_since,
        next_at: record.next_at,
        created_at: record.created_at,
        version: i64::from(record.version),
    }
}

/// Reads a webhook.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: WebhookId) -> Result<Option<WebhookRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads a page of an account's webhooks, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    account: AccountId,
    after: Option<WebhookId>,
    limit: u32,
) -> Result<Vec<WebhookRecord>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::AccountId.eq(account.uuid()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads webhooks that have something to send, those that wait longest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn due(conn: &Conn<'_>, now: Timestamp, limit: u32) -> Result<Vec<WebhookRecord>, StoreError> {
    let has_events = Expr::cust(
        "delivered < (select event_sequence from accounts where accounts.id = webhooks.account_id)",
    );
    let rows = row::Entity::find()
        .filter(row::Column::Enabled.eq(true))
        .filter(row::Column::NextAt.lte(now))
        .filter(Condition::any().add(row::Column::TestRequested.eq(true)).add(has_events))
        .order_by_asc(row::Column::NextAt)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// The number of webhooks by what becomes of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Those that work, or have nothing to send.
    pub working: u64,
    /// Those with a message that has failed and is tried again.
    pub failing: u64,
    /// Those that were switched off because a message failed too often.
    pub given_up: u64,
}

/// Counts the webhooks of all accounts.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn counts(conn: &Conn<'_>) -> Result<WebhookCounts, StoreError> {
    let enabled = || row::Entity::find().filter(row::Column::Enabled.eq(true));
    let failing = enabled().filter(row::Column::Failures.gt(0)).count(&conn.0).await?;
    Ok(WebhookCounts {
        working: enabled().count(&conn.0).await?.saturating_sub(failing),
        failing,
        given_up: row::Entity::find().filter(row::Column::GivenUp.eq(true)).count(&conn.0).await?,
    })
}

/// Counts an account's webhooks.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count(conn: &Conn<'_>, account: AccountId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::AccountId.eq(account.uuid())).count(&conn.0).await?)
}

/// Adds a webhook.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has one of that name; [`StoreError`] when the
/// database fails.
pub async fn insert(tx: &WriteTx, record: &WebhookRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a webhook's row to what the record says.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has another one of that name; [`StoreError`] when the
/// database fails.
pub async fn update(tx: &WriteTx, record: &WebhookRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a webhook with its secret and its deliveries.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: WebhookId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
