//! User scripts that accounts have saved.

use imprint_domain::{
    id::{AccountId, UserScriptId},
    name::Name,
    time::Timestamp,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, FromQueryResult, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "user_scripts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub name: String,
        pub content: String,
        pub size_bytes: i64,
        pub created_at: DateTimeUtc,
        pub changed_at: DateTimeUtc,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A saved script without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserScriptRecord {
    /// The script's id.
    pub id: UserScriptId,
    /// The account that saved it.
    pub account_id: AccountId,
    /// The name, which is unique in the account.
    pub name: Name,
    /// The size of the content, in bytes.
    pub size: u32,
    /// When it was saved.
    pub created_at: Timestamp,
    /// When its name or its content was changed last.
    pub changed_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// The columns of a list, which has no contents.
#[derive(FromQueryResult)]
struct Listed {
    id: Uuid,
    account_id: Uuid,
    name: String,
    size_bytes: i64,
    created_at: Timestamp,
    changed_at: Timestamp,
    version: i64,
}

fn from_listed(row: Listed) -> Result<UserScriptRecord, StoreError> {
    Ok(UserScriptRecord {
        id: UserScriptId::new(row.id),
        account_id: AccountId::new(row.account_id),
        name: codec::name(&row.name)?,
        size: codec::to_u32("size_bytes", row.size_bytes)?,
        created_at: row.created_at,
        changed_at: row.changed_at,
        version: codec::to_u32("version", row.version)?,
    })
}

fn to_row(record: &UserScriptRecord, content: String) -> row::Model {
    row::Model {
        id: record.id.uuid(),
        account_id: record.account_id.uuid(),
        name: record.name.to_string(),
        content,
        size_bytes: i64::from(record.size),
        created_at: record.created_at,
        changed_at: record.changed_at,
        version: i64::from(record.version),
    }
}

/// Reads the script of that id with its content, if the account has it.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(
    conn: &Conn<'_>,
    account: AccountId,
    id: UserScriptId,
) -> Result<Option<(UserScriptRecord, String)>, StoreError> {
    let found = row::Entity::find_by_id(id.uuid()).filter(row::Column::AccountId.eq(account.uuid()));
    let Some(row) = found.one(&conn.0).await? else { return Ok(None) };
    let listed = Listed {
        id: row.id,
        account_id: row.account_id,
        name: row.name,
        size_bytes: row.size_bytes,
        created_at: row.created_at,
        changed_at: row.changed_at,
        version: row.version,
    };
    Ok(Some((from_listed(listed)?, row.content)))
}

/// Reads a page of an account's scripts without their contents, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    account: AccountId,
    after: Option<UserScriptId>,
    limit: u32,
) -> Result<Vec<UserScriptRecord>, StoreError> {
    use row::Column;
    let mut query = row::Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::AccountId,
            Column::Name,
            Column::SizeBytes,
            Column::CreatedAt,
            Column::ChangedAt,
            Column::Version,
        ])
        .filter(Column::AccountId.eq(account.uuid()))
        .order_by_asc(Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.uuid()));
    }
    query.into_model::<Listed>().all(&conn.0).await?.into_iter().map(from_listed).collect()
}

/// Counts an account's scripts.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count(conn: &Conn<'_>, account: AccountId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::AccountId.eq(account.uuid())).count(&conn.0).await?)
}

/// Adds a script.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has one of that name; [`StoreError`] when the
/// database fails.
pub async fn insert(tx: &WriteTx, record: &UserScriptRecord, content: String) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record, content).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a script's row to what the record and the content say.
///
/// # Errors
///
/// [`StoreError::Duplicate`] when the account has another one of that name; [`StoreError`] when the
/// database fails.
pub async fn update(tx: &WriteTx, record: &UserScriptRecord, content: String) -> Result<(), StoreError> {
    row::Entity::update(to_row(record, content).into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a script.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete(tx: &WriteTx, id: UserScriptId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
