//! SSH keys that accounts have saved.

use imprint_domain::{
    id::{AccountId, SshKeyId},
    name::Name,
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "ssh_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub name: String,
        pub kind: String,
        pub fingerprint: String,
        pub public_key: String,
        pub created_at: DateTimeUtc,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A saved public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKeyRecord {
    /// The key's id.
    pub id: SshKeyId,
    /// The account that saved it.
    pub account_id: AccountId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The type of the key, such as `ssh-ed25519`.
    pub kind: String,
    /// The fingerprint of the key.
    pub fingerprint: String,
    /// The line of `authorized_keys`.
    pub public_key: String,
    /// When it was saved.
    pub created_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

fn from_row(row: row::Model) -> Result<SshKeyRecord, StoreError> {
    Ok(SshKeyRecord {
        id: SshKeyId::new(row.id),
        account_id: AccountId::new(row.account_id),
        name: codec::name(&row.name)?,
        kind: row.kind,
        fingerprint: row.fingerprint,
        public_key: row.public_key,
        created_at: row.created_at,
        version: codec::to_u32("version", row.version)?,
    })
}

fn to_row(record: &SshKeyRecord) -> row::Model {
    row::Model {
        id: record.id.uuid(),
        account_id: record.account_id.uuid(),
        name: record.name.to_string(),
        kind: record.kind.clone(),
        fingerprint: record.fingerprint.clone(),
        public_key: record.public_key.clone(),
        created_at: record.created_at,
        version: i64::from(record.version),
    }
}

/// Reads the key of that id, if the account has it.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(
    conn: &Conn<'_>,
    account: AccountId,
    id: SshKeyId,
) -> Result<Option<SshKeyRecord>, StoreError> {
    let found = row::Entity::find_by_id(id.uuid()).filter(row::Column::AccountId.eq(account.uuid()));
    found.one(&conn.0).await?.map(from_row).transpose()
}

/// Reads a page of an account's keys, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    account: AccountId,
    after: Option<SshKeyId>,
    limit: u32,
) -> Result<Vec<SshKeyRecord>, StoreError> {
    let mut query = row::Entity::find()
        .filter(row::Column::AccountId.eq(account.uuid()))
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Counts an account's keys.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count(conn: &Conn<'_>, account: AccountId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::AccountId.eq(account.uuid())).count(&conn.0).await?)
}

/// Adds a key.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has one of that name; [`StoreError`] when the
/// database fails.
pub async fn insert(tx: &WriteTx, record: &SshKeyRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a key's row to what the record says.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has another one of that name; [`StoreError`] when the
/// database fails.
pub async fn update(tx: &WriteTx, record: &SshKeyRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a key.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: SshKeyId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
