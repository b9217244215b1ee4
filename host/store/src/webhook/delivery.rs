//! The attempts to deliver messages to webhooks.

use imprint_domain::{
    id::{DeliveryId, WebhookId},
    time::Timestamp,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_deliveries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub webhook_id: Uuid,
        pub message_id: String,
        pub kind: String,
        pub sequence: Option<i64>,
        pub attempt: i64,
        pub status: Option<i64>,
        pub problem: Option<String>,
        pub took_ms: i64,
        pub at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An attempt to deliver a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The attempt's id.
    pub id: DeliveryId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The id of the message, the same in each attempt.
    pub message_id: String,
    /// The type of the message.
    pub kind: String,
    /// The number of its event; `None` for a message that tests the webhook.
    pub sequence: Option<u64>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// Why it failed; `None` where the message was taken.
    pub problem: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// When it ended.
    pub at: Timestamp,
}

fn from_row(row: row::Model) -> Result<Delivery, StoreError> {
    let status = row.status.map(|status| codec::to_u32("status", status)).transpose()?;
    let status = status.map(u16::try_from).transpose().map_err(|_| codec::corrupt("status", "too large"))?;
    Ok(Delivery {
        id: DeliveryId::new(row.id),
        webhook_id: WebhookId::new(row.webhook_id),
        message_id: row.message_id,
        kind: row.kind,
        sequence: row.sequence.map(|sequence| codec::to_u64("sequence", sequence)).transpose()?,
        attempt: codec::to_u32("attempt", row.attempt)?,
        status,
        problem: row.problem,
        took_ms: codec::to_u64("took_ms", row.took_ms)?,
        at: row.at,
    })
}

/// Reads a page of the attempts of a webhook, the latest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    webhook: WebhookId,
    after: Option<DeliveryId>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::WebhookId.eq(webhook.uuid()))
        .order_by_desc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.lt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Adds an attempt, and removes those of the webhook before the latest `kept`.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert(tx: &WriteTx, delivery: &Delivery, kept: u32) -> Result<(), StoreError> {
    let row = row::Model {
        id: delivery.id.uuid(),
        webhook_id: delivery.webhook_id.uuid(),
        message_id: delivery.message_id.clone(),
        kind: delivery.kind.clone(),
        sequence: delivery.sequence.map(codec::to_i64),
        attempt: i64::from(delivery.attempt),
        status: delivery.status.map(i64::from),
        problem: delivery.problem.clone(),
        took_ms: codec::to_i64(delivery.took_ms),
        at: delivery.at,
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    let of_webhook = row::Column::WebhookId.eq(delivery.webhook_id.uuid());
    let oldest = row::Entity::find()
        .filter(of_webhook.clone())
        .order_by_desc(row::Column::Id)
        .offset(u64::from(kept))
        .limit(1)
        .one(&tx.0)
        .await?;
    if let Some(oldest) = oldest {
        let old = row::Entity::delete_many().filter(of_webhook).filter(row::Column::Id.lte(oldest.id));
        old.exec(&tx.0).await?;
    }
    Ok(())
}
