//! API tokens, of accounts and of hypervisors.

use std::collections::BTreeSet;

use imprint_domain::{
    account::Scope,
    id::{AccountId, HypervisorId, TokenId},
    name::Name,
    time::Timestamp,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Option<Uuid>,
        pub hypervisor_id: Option<Uuid>,
        pub name: String,
        pub scopes: String,
        pub secret_hash: Vec<u8>,
        pub created_at: DateTimeUtc,
        pub expires_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The owner of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// An account's.
    Account(AccountId),
    /// The agent's of a hypervisor.
    Hypervisor(HypervisorId),
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token's id, part of its text.
    pub id: TokenId,
    /// The owner of the token.
    pub owner: TokenOwner,
    /// The human-readable name.
    pub name: Name,
    /// What the token may do.
    pub scopes: BTreeSet<Scope>,
    /// SHA-256 of its secret.
    pub secret_hash: Vec<u8>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires; `None` never does.
    pub expires_at: Option<Timestamp>,
}

fn from_row(row: row::Model) -> Result<TokenRecord, StoreError> {
    let owner = match (row.account_id, row.hypervisor_id) {
        (Some(id), None) => TokenOwner::Account(AccountId::new(id)),
        (None, Some(id)) => TokenOwner::Hypervisor(HypervisorId::new(id)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(StoreError::Corrupt { column: "account_id", value: row.id.to_string() });
        }
    };
    Ok(TokenRecord {
        id: TokenId::new(row.id),
        owner,
        name: codec::name(&row.name)?,
        scopes: codec::json("scopes", &row.scopes)?,
        secret_hash: row.secret_hash,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}

/// Reads the token of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// An account's tokens, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    account: AccountId,
    after: Option<TokenId>,
    limit: u32,
) -> Result<Vec<TokenRecord>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::AccountId.eq(account.uuid()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// The tokens of a hypervisor's agent, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(
    conn: &Conn<'_>,
    hypervisor: HypervisorId,
    after: Option<TokenId>,
    limit: u32,
) -> Result<Vec<TokenRecord>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::HypervisorId.eq(hypervisor.uuid()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Adds a token.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &TokenRecord) -> Result<(), StoreError> {
    let (account_id, hypervisor_id) = match record.owner {
        TokenOwner::Account(id) => (Some(id.uuid()), None),
        TokenOwner::Hypervisor(id) => (None, Some(id.uuid())),
    };
    let row = row::Model {
        id: record.id.uuid(),
        account_id,
        hypervisor_id,
        name: record.name.to_string(),
        scopes: codec::to_json("scopes", &record.scopes)?,
        secret_hash: record.secret_hash.clone(),
        created_at: record.created_at,
        expires_at: record.expires_at,
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Revokes a token.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete(tx: &WriteTx, id: TokenId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
