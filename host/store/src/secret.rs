//! Sealed secrets: [`of_storage`] has those of image storages, [`of_task`] those of tasks that test
//! a storage before it is stored. What is in a row can only be read with the server's key.

use imprint_domain::time::Timestamp;

/// A sealed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// The name of the setting.
    pub name: String,
    /// The nonce and the ciphertext.
    pub sealed: Vec<u8>,
    /// The id of the key that it is sealed with.
    pub key_id: String,
    /// When its value was set.
    pub changed_at: Timestamp,
}

macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $table:literal, $column:ident, $field:ident, $owner:ty) => {
        $(#[$doc])*
        pub mod $module {
            use sea_orm::{
                ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
                sea_query::OnConflict,
            };

            use super::SealedSecret;
            use crate::{Conn, StoreError, WriteTx};

            #[expect(unreachable_pub, reason = "sea-orm derives public items")]
            mod row {
                use sea_orm::entity::prelude::*;

                #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
                #[sea_orm(table_name = $table)]
                pub struct Model {
                    #[sea_orm(primary_key, auto_increment = false)]
                    pub $field: Uuid,
                    #[sea_orm(primary_key, auto_increment = false)]
                    pub name: String,
                    pub sealed: Vec<u8>,
                    pub key_id: String,
                    pub changed_at: DateTimeUtc,
                }

                #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
                pub enum Relation {}

                impl ActiveModelBehavior for ActiveModel {}
            }

            fn from_row(row: row::Model) -> ($owner, SealedSecret) {
                let secret = SealedSecret {
                    name: row.name,
                    sealed: row.sealed,
                    key_id: row.key_id,
                    changed_at: row.changed_at,
                };
                (<$owner>::new(row.$field), secret)
            }

            /// Reads the secrets of one owner, in the order of their names.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn list(conn: &Conn<'_>, owner: $owner) -> Result<Vec<SealedSecret>, StoreError> {
                let rows = row::Entity::find()
                    .filter(row::Column::$column.eq(owner.uuid()))
                    .order_by_asc(row::Column::Name)
                    .all(&conn.0)
                    .await?;
                Ok(rows.into_iter().map(|row| from_row(row).1).collect())
            }

            /// Reads secrets that are not sealed with that key, at most `limit`.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn of_other_keys(
                conn: &Conn<'_>,
                key_id: &str,
                limit: u32,
            ) -> Result<Vec<($owner, SealedSecret)>, StoreError> {
                let rows = row::Entity::find()
                    .filter(row::Column::KeyId.ne(key_id))
                    .order_by_asc(row::Column::$column)
                    .order_by_asc(row::Column::Name)
                    .limit(u64::from(limit))
                    .all(&conn.0)
                    .await?;
                Ok(rows.into_iter().map(from_row).collect())
            }

            /// Reads the ids of the keys that secrets are sealed with.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn key_ids(conn: &Conn<'_>) -> Result<Vec<String>, StoreError> {
                let ids = row::Entity::find()
                    .select_only()
                    .column(row::Column::KeyId)
                    .distinct()
                    .into_tuple::<String>()
                    .all(&conn.0)
                    .await?;
                Ok(ids)
            }

            /// Writes a secret; an earlier one of that name is replaced.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn put(tx: &WriteTx, owner: $owner, secret: &SealedSecret) -> Result<(), StoreError> {
                let row = row::Model {
                    $field: owner.uuid(),
                    name: secret.name.clone(),
                    sealed: secret.sealed.clone(),
                    key_id: secret.key_id.clone(),
                    changed_at: secret.changed_at,
                };
                let mut conflict = OnConflict::columns([row::Column::$column, row::Column::Name]);
                conflict.update_columns([row::Column::Sealed, row::Column::KeyId, row::Column::ChangedAt]);
                row::Entity::insert(row.into_active_model())
                    .on_conflict(conflict)
                    .exec_without_returning(&tx.0)
                    .await?;
                Ok(())
            }

            /// Removes one secret, if there is one of that name.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn delete(tx: &WriteTx, owner: $owner, name: &str) -> Result<(), StoreError> {
                row::Entity::delete_by_id((owner.uuid(), name.to_owned())).exec(&tx.0).await?;
                Ok(())
            }

            /// Removes all secrets of one owner.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database fails.
            pub async fn delete_all(tx: &WriteTx, owner: $owner) -> Result<(), StoreError> {
                let of_owner = row::Column::$column.eq(owner.uuid());
                row::Entity::delete_many().filter(of_owner).exec(&tx.0).await?;
                Ok(())
            }
        }
    };
}

table! {
    /// The secrets of image storages.
    of_storage, "storage_secrets", StorageId, storage_id, imprint_domain::id::StorageId
}

table! {
    /// The secrets by which messages to webhooks are signed.
    of_webhook, "webhook_secrets", WebhookId, webhook_id, imprint_domain::id::WebhookId
}

table! {
    /// The secrets of tasks that test a storage. They are removed when the task ends.
    of_task, "task_secrets", TaskId, task_id, imprint_domain::id::TaskId
}
