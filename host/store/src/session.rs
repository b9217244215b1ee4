//! Browser sessions.

use imprint_domain::{
    id::{AccountId, SessionId},
    time::Timestamp,
};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, sea_query::Expr};

use crate::{Conn, StoreError, WriteTx};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub secret_hash: Vec<u8>,
        pub created_at: DateTimeUtc,
        pub last_seen_at: DateTimeUtc,
        pub expires_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session's id.
    pub id: SessionId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_seen_at: Timestamp,
    /// When it expires at the latest.
    pub expires_at: Timestamp,
}

/// The session with that hash.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_hash(conn: &Conn<'_>, secret_hash: &[u8; 32]) -> Result<Option<SessionRecord>, StoreError> {
    let found =
        row::Entity::find().filter(row::Column::SecretHash.eq(secret_hash.to_vec())).one(&conn.0).await?;
    Ok(found.map(|row| SessionRecord {
        id: SessionId::new(row.id),
        account_id: AccountId::new(row.account_id),
        secret_hash: *secret_hash,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
    }))
}

/// Adds a session.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &SessionRecord) -> Result<(), StoreError> {
    let row = row::Model {
        id: record.id.uuid(),
        account_id: record.account_id.uuid(),
        secret_hash: record.secret_hash.to_vec(),
        created_at: record.created_at,
        last_seen_at: record.last_seen_at,
        expires_at: record.expires_at,
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Notes that a session was used.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn touch(tx: &WriteTx, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::LastSeenAt, Expr::value(now))
        .filter(row::Column::Id.eq(id.uuid()))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete(tx: &WriteTx, id: SessionId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}

/// Ends all sessions of an account.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete_of_account(tx: &WriteTx, id: AccountId) -> Result<(), StoreError> {
    row::Entity::delete_many().filter(row::Column::AccountId.eq(id.uuid())).exec(&tx.0).await?;
    Ok(())
}

/// Removes sessions that are over: past their end, or not used since `idle_since`.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete_expired(tx: &WriteTx, now: Timestamp, idle_since: Timestamp) -> Result<u64, StoreError> {
    let done = row::Entity::delete_many()
        .filter(row::Column::ExpiresAt.lte(now).or(row::Column::LastSeenAt.lte(idle_since)))
        .exec(&tx.0)
        .await?;
    Ok(done.rows_affected)
}
