//! Hypervisors and their agents.

use std::collections::BTreeMap;

use imprint_domain::{
    hypervisor::Hypervisor,
    id::{AgentId, HypervisorId, LocationId, StorageId},
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
    #[sea_orm(table_name = "hypervisors")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub location_id: Uuid,
        pub driver: String,
        pub driver_settings: String,
        pub max_work: i64,
        pub max_captures: i64,
        pub agent_id: Option<Uuid>,
        pub agent_version: Option<String>,
        pub plugins: String,
        pub findings: String,
        pub object_address: Option<String>,
        pub object_fingerprint: Option<String>,
        pub object_internal: bool,
        pub object_key_id: Option<String>,
        pub last_seen_at: Option<DateTimeUtc>,
        pub created_at: DateTimeUtc,
        pub version: i64,
        pub limited_bandwidth: bool,
        pub changes_devices: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where an agent serves the objects of its storages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectServerRecord {
    /// The address, `HOST:PORT`.
    pub address: String,
    /// The SHA-256 of its certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// Whether only the control plane reaches it.
    pub internal: bool,
}

/// A hypervisor with its driver's settings and what its agent reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypervisorRecord {
    /// The hypervisor.
    pub hypervisor: Hypervisor,
    /// The settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// The number of tasks that may run at once.
    pub max_work: u32,
    /// The current agent process.
    pub agent_id: Option<AgentId>,
    /// The version of the agent.
    pub agent_version: Option<String>,
    /// The plugins of the agent: id to version.
    pub plugins: BTreeMap<String, String>,
    /// What is missing on the machine, in human-readable sentences.
    pub findings: Vec<String>,
    /// Where its agent serves objects; `None` where it serves none.
    pub objects: Option<ObjectServerRecord>,
    /// The id of the sealing key from which the key of the agent's tokens was derived.
    pub object_key_id: Option<String>,
    /// Whether its driver changes the devices of running instances.
    pub changes_devices: bool,
    /// When the hypervisor was created.
    pub created_at: Timestamp,
}

fn from_row(row: row::Model) -> Result<HypervisorRecord, StoreError> {
    Ok(HypervisorRecord {
        hypervisor: Hypervisor {
            id: HypervisorId::new(row.id),
            name: codec::name(&row.name)?,
            location_id: LocationId::new(row.location_id),
            driver: codec::parse("driver", &row.driver)?,
            max_captures: codec::to_u32("max_captures", row.max_captures)?,
            last_seen_at: row.last_seen_at,
            version: codec::to_u32("version", row.version)?,
            limited_bandwidth: row.limited_bandwidth,
        },
        driver_settings: codec::json("driver_settings", &row.driver_settings)?,
        max_work: codec::to_u32("max_work", row.max_work)?,
        agent_id: row.agent_id.map(AgentId::new),
        agent_version: row.agent_version,
        plugins: codec::json("plugins", &row.plugins)?,
        findings: codec::json("findings", &row.findings)?,
        objects: row.object_address.zip(row.object_fingerprint).map(|(address, fingerprint)| {
            ObjectServerRecord { address, fingerprint, internal: row.object_internal }
        }),
        object_key_id: row.object_key_id,
        changes_devices: row.changes_devices,
        created_at: row.created_at,
    })
}

fn to_row(record: &HypervisorRecord) -> Result<row::Model, StoreError> {
    let hypervisor = &record.hypervisor;
    Ok(row::Model {
        id: hypervisor.id.uuid(),
        name: hypervisor.name.to_string(),
        location_id: hypervisor.location_id.uuid(),
        driver: hypervisor.driver.to_string(),
        driver_settings: codec::to_json("driver_settings", &record.driver_settings)?,
        max_work: i64::from(record.max_work),
        max_captures: i64::from(hypervisor.max_captures),
        agent_id: record.agent_id.map(AgentId::uuid),
        agent_version: record.agent_version.clone(),
        plugins: codec::to_json("plugins", &record.plugins)?,
        findings: codec::to_json("findings", &record.findings)?,
        object_address: record.objects.as_ref().map(|server| server.address.clone()),
        object_fingerprint: record.objects.as_ref().map(|server| server.fingerprint.clone()),
        object_internal: record.objects.as_ref().is_some_and(|server| server.internal),
        object_key_id: record.object_key_id.clone(),
        last_seen_at: hypervisor.last_seen_at,
        created_at: record.created_at,
        version: i64::from(hypervisor.version),
        limited_bandwidth: hypervisor.limited_bandwidth,
        changes_devices: record.changes_devices,
    })
}

/// Reads the hypervisor of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: HypervisorId) -> Result<Option<HypervisorRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Reads the hypervisor of that name, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn by_name(conn: &Conn<'_>, name: &str) -> Result<Option<HypervisorRecord>, StoreError> {
    let found = row::Entity::find().filter(row::Column::Name.eq(name)).one(&conn.0).await?;
    found.map(from_row).transpose()
}

/// Reads a page of hypervisors, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    after: Option<HypervisorId>,
    limit: u32,
) -> Result<Vec<HypervisorRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_asc(row::Column::Id).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads a page of hypervisors that a storage is bound to, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_storage(conn: &Conn<'_>, storage: StorageId) -> Result<Vec<HypervisorRecord>, StoreError> {
    let ids = crate::storage::bound_hypervisors(conn, storage).await?;
    let rows = row::Entity::find()
        .filter(row::Column::Id.is_in(ids.into_iter().map(HypervisorId::uuid)))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads the hypervisors of a location, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_location(conn: &Conn<'_>, id: LocationId) -> Result<Vec<HypervisorRecord>, StoreError> {
    let rows = row::Entity::find()
        .filter(row::Column::LocationId.eq(id.uuid()))
        .order_by_asc(row::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Counts the hypervisors of a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_location(conn: &Conn<'_>, id: LocationId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::LocationId.eq(id.uuid())).count(&conn.0).await?)
}

/// Adds a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &HypervisorRecord) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Changes a hypervisor's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &HypervisorRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record)?.into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Removes a hypervisor with its bindings, the tokens of its agent and its tasks, which are all
/// over.
///
/// # Errors
///
/// [`StoreError`] when the database fails, or when something refers to the hypervisor.
pub async fn delete(tx: &WriteTx, id: HypervisorId) -> Result<(), StoreError> {
    crate::task::delete_of_hypervisor(tx, id).await?;
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
