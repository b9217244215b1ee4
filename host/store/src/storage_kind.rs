//! The kinds of image storages that the plugins of each hypervisor's agent provide.

use imprint_domain::{id::HypervisorId, plugin_kind::StorageKind};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_kinds")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hypervisor_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        pub plugin: String,
        pub version: String,
        pub summary: String,
        pub schema: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A kind of image storage on one hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageKindRecord {
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
    /// The name of the kind.
    pub kind: StorageKind,
    /// The id of the plugin that provides it.
    pub plugin: String,
    /// The version of the plugin.
    pub version: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The JSON Schema of the settings, if the plugin has one.
    pub schema: Option<String>,
}

fn from_row(row: row::Model) -> Result<StorageKindRecord, StoreError> {
    Ok(StorageKindRecord {
        hypervisor_id: HypervisorId::new(row.hypervisor_id),
        kind: codec::parse("kind", &row.kind)?,
        plugin: row.plugin,
        version: row.version,
        summary: row.summary,
        schema: row.schema,
    })
}

/// Reads every kind on every hypervisor, in the order of the kinds' names.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(conn: &Conn<'_>) -> Result<Vec<StorageKindRecord>, StoreError> {
    let rows = row::Entity::find()
        .order_by_asc(row::Column::Kind)
        .order_by_asc(row::Column::HypervisorId)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads the hypervisors that have a kind.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_kind(conn: &Conn<'_>, kind: &StorageKind) -> Result<Vec<StorageKindRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::Kind.eq(kind.as_str()))
        .order_by_asc(row::Column::HypervisorId)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Replaces the kinds of a hypervisor by these.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn replace(
    tx: &WriteTx,
    hypervisor_id: HypervisorId,
    kinds: Vec<StorageKindRecord>,
) -> Result<(), StoreError> {
    row::Entity::delete_many().filter(row::Column::HypervisorId.eq(hypervisor_id.uuid())).exec(&tx.0).await?;
    for record in kinds {
        let row = row::Model {
            hypervisor_id: hypervisor_id.uuid(),
            kind: record.kind.to_string(),
            plugin: record.plugin,
            version: record.version,
            summary: record.summary,
            schema: record.schema,
        };
        row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    }
    Ok(())
}
