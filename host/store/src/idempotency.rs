//! Answers kept for idempotency keys.

use imprint_domain::{id::AccountId, time::Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::{Conn, StoreError, WriteTx};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub method: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub path: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub body_hash: Vec<u8>,
        pub answer: String,
        pub created_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The scope of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyScope {
    /// The account that sent it.
    pub account_id: AccountId,
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// The client's key.
    pub key: String,
}

/// A stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
    /// The answer, as JSON.
    pub answer: String,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// The answer stored for a key.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, scope: &KeyScope) -> Result<Option<KeyRecord>, StoreError> {
    let id = (scope.account_id.uuid(), scope.method.clone(), scope.path.clone(), scope.key.clone());
    let found = row::Entity::find_by_id(id).one(&conn.0).await?;
    Ok(found.map(|row| KeyRecord {
        body_hash: row.body_hash,
        answer: row.answer,
        created_at: row.created_at,
    }))
}

/// Stores the answer for a key.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, scope: &KeyScope, record: &KeyRecord) -> Result<(), StoreError> {
    let row = row::Model {
        account_id: scope.account_id.uuid(),
        method: scope.method.clone(),
        path: scope.path.clone(),
        key: scope.key.clone(),
        body_hash: record.body_hash.clone(),
        answer: record.answer.clone(),
        created_at: record.created_at,
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Forgets one key.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete(tx: &WriteTx, scope: &KeyScope) -> Result<(), StoreError> {
    let id = (scope.account_id.uuid(), scope.method.clone(), scope.path.clone(), scope.key.clone());
    row::Entity::delete_by_id(id).exec(&tx.0).await?;
    Ok(())
}

/// Forgets keys from before `before`.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete_older(tx: &WriteTx, before: Timestamp) -> Result<u64, StoreError> {
    let done = row::Entity::delete_many().filter(row::Column::CreatedAt.lte(before)).exec(&tx.0).await?;
    Ok(done.rows_affected)
}
