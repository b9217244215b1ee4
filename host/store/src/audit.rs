//! Who changed what, and under which request.

use imprint_domain::{
    id::{AccountId, RequestId},
    time::Timestamp,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub at: DateTimeUtc,
        pub account_id: Option<Uuid>,
        pub actor: String,
        pub action: String,
        pub resource: String,
        pub request_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The row's id.
    pub id: Uuid,
    /// When the action was done.
    pub at: Timestamp,
    /// The account that acted.
    pub account_id: Option<AccountId>,
    /// The session, token or agent that acted.
    pub actor: String,
    /// The action, such as `image.capture`.
    pub action: String,
    /// To what: the resource's id.
    pub resource: String,
    /// Under which request.
    pub request_id: RequestId,
}

/// Writes a change down.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &AuditRecord) -> Result<(), StoreError> {
    let row = row::Model {
        id: record.id,
        at: record.at,
        account_id: record.account_id.map(AccountId::uuid),
        actor: record.actor.clone(),
        action: record.action.clone(),
        resource: record.resource.clone(),
        request_id: record.request_id.uuid(),
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Reads what was done to a resource, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_resource(
    conn: &Conn<'_>,
    resource: &str,
    limit: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::Resource.eq(resource))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit))
        .all(&conn.0)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| AuditRecord {
            id: row.id,
            at: row.at,
            account_id: row.account_id.map(AccountId::new),
            actor: row.actor,
            action: row.action,
            resource: row.resource,
            request_id: RequestId::new(row.request_id),
        })
        .collect())
}
