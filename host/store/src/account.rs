//! Accounts.

use std::collections::BTreeMap;

use imprint_domain::{
    account::{Account, Role},
    id::AccountId,
    name::Name,
    size::ByteSize,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "accounts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub role: String,
        pub password_hash: String,
        pub image_limit: Option<i64>,
        pub event_sequence: i64,
        pub created_at: DateTimeUtc,
        pub image_bytes_limit: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An account with its password's hash.
#[derive(Clone)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// The hash of its password, in the PHC string format of argon2.
    pub password_hash: String,
    /// The number of the account's last event.
    pub event_sequence: u64,
}

impl AccountRecord {
    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        Ok(Self {
            account: Account {
                id: AccountId::new(row.id),
                name: codec::name(&row.name)?,
                role: codec::parse("role", &row.role)?,
                image_limit: row.image_limit.map(|limit| codec::to_u32("image_limit", limit)).transpose()?,
                image_bytes_limit: row
                    .image_bytes_limit
                    .map(|limit| codec::size("image_bytes_limit", limit))
                    .transpose()?,
                created_at: row.created_at,
            },
            password_hash: row.password_hash,
            event_sequence: codec::to_u64("event_sequence", row.event_sequence)?,
        })
    }

    fn to_row(&self) -> row::Model {
        let account = &self.account;
        row::Model {
            id: account.id.uuid(),
            name: account.name.to_string(),
            role: account.role.as_str().to_owned(),
            password_hash: self.password_hash.clone(),
            image_limit: account.image_limit.map(i64::from),
            event_sequence: codec::to_i64(self.event_sequence),
            created_at: account.created_at,
            image_bytes_limit: account.image_bytes_limit.map(ByteSize::as_i64),
        }
    }
}

/// Reads the account of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: AccountId) -> Result<Option<AccountRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(AccountRecord::from_row).transpose()
}

/// Reads the account of that name, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_name(conn: &Conn<'_>, name: &str) -> Result<Option<AccountRecord>, StoreError> {
    let found = row::Entity::find().filter(row::Column::Name.eq(name)).one(&conn.0).await?;
    found.map(AccountRecord::from_row).transpose()
}

/// Reads a page of accounts by age, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<AccountRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(AccountRecord::from_row).collect()
}

/// Reads a page of the ids of accounts, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn ids_after(
    conn: &Conn<'_>,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<AccountId>, StoreError> {
    let mut query = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .order_by_asc(row::Column::Id)
        .limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    let ids: Vec<Uuid> = query.into_tuple().all(&conn.0).await?;
    Ok(ids.into_iter().map(AccountId::new).collect())
}

/// Reads the ids of all accounts of a role.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn ids_of_role(conn: &Conn<'_>, role: Role) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::Role.eq(role.as_str()))
        .order_by_asc(row::Column::Id)
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(ids.into_iter().map(AccountId::new).collect())
}

/// Reads the names of those of the accounts that exist.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn names(conn: &Conn<'_>, ids: &[AccountId]) -> Result<BTreeMap<AccountId, Name>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(Uuid, String)> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .column(row::Column::Name)
        .filter(row::Column::Id.is_in(ids.iter().map(|id| id.uuid())))
        .into_tuple()
        .all(&conn.0)
        .await?;
    rows.into_iter().map(|(id, name)| Ok((AccountId::new(id), codec::name(&name)?))).collect()
}

/// Adds an account; [`StoreError::Duplicate`] when the name is taken.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &AccountRecord) -> Result<(), StoreError> {
    row::Entity::insert(record.to_row().into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes an account's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &AccountRecord) -> Result<(), StoreError> {
    row::Entity::update(record.to_row().into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Takes the next number of the account's events.
pub(crate) async fn next_sequence(tx: &WriteTx, id: AccountId) -> Result<u64, StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::EventSequence, Expr::col(row::Column::EventSequence).add(1))
        .filter(row::Column::Id.eq(id.uuid()))
        .exec(&tx.0)
        .await?;
    let conn = tx.conn();
    let record = get(&conn, id)
        .await?
        .ok_or_else(|| StoreError::Corrupt { column: "account_id", value: id.to_string() })?;
    Ok(record.event_sequence)
}
