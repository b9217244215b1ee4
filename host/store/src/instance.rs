//! Instances and their disks.

use std::collections::BTreeSet;

use imprint_domain::{
    id::{AccountId, DiskId, HypervisorId, ImageId, InstanceId, IsoId, LocationId, TaskId},
    image::catalogue::GuestSystem,
    instance::{Disk, Instance, InstanceParts},
    iso::IsoMount,
    size::ByteSize,
    windows::HighWater,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "instances")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub name: String,
        pub hypervisor_id: Uuid,
        pub location_id: Uuid,
        pub status: String,
        pub power: String,
        pub boot_source: String,
        pub image_id: Option<Uuid>,
        pub vcpus: i64,
        pub memory_bytes: i64,
        pub metadata: String,
        pub network: Option<String>,
        pub task_id: Option<Uuid>,
        pub created_at: DateTimeUtc,
        pub capture_failures: i64,
        pub declared_os: Option<String>,
        pub largest_content_bytes: i64,
        pub largest_size_bytes: i64,
        pub iso_id: Option<Uuid>,
        pub iso_boot: bool,
        pub os_type: String,
        pub cloud_init: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod disk {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "instance_disks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub instance_id: Uuid,
        pub is_primary: bool,
        pub virtual_size_bytes: i64,
        pub format: String,
        pub allocated_bytes: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An instance with its last task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// The instance.
    pub instance: Instance,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
}

fn from_row(row: row::Model) -> Result<InstanceRecord, StoreError> {
    Ok(InstanceRecord {
        instance: Instance::from_parts(InstanceParts {
            id: InstanceId::new(row.id),
            account_id: AccountId::new(row.account_id),
            name: codec::name(&row.name)?,
            hypervisor_id: HypervisorId::new(row.hypervisor_id),
            location_id: LocationId::new(row.location_id),
            status: codec::parse("status", &row.status)?,
            power: codec::parse("power", &row.power)?,
            boot_source: codec::parse("boot_source", &row.boot_source)?,
            image_id: row.image_id.map(ImageId::new),
            vcpus: codec::to_u32("vcpus", row.vcpus)?,
            memory: codec::size("memory_bytes", row.memory_bytes)?,
            metadata: codec::json("metadata", &row.metadata)?,
            network: row.network.map(|text| codec::json("network", &text)).transpose()?,
            capture_failures: codec::to_u32("capture_failures", row.capture_failures)?,
            declared_os: row.declared_os.map(|os| codec::parse("declared_os", &os)).transpose()?,
            largest: HighWater {
                content: codec::size("largest_content_bytes", row.largest_content_bytes)?,
                size: codec::size("largest_size_bytes", row.largest_size_bytes)?,
            },
            iso: row.iso_id.map(|id| IsoMount { iso_id: IsoId::new(id), boot: row.iso_boot }),
            guest: GuestSystem {
                os_type: codec::parse("os_type", &row.os_type)?,
                cloud_init: row.cloud_init,
            },
            created_at: row.created_at,
        }),
        task_id: row.task_id.map(TaskId::new),
    })
}

fn to_row(record: &InstanceRecord) -> Result<row::Model, StoreError> {
    let instance = &record.instance;
    Ok(row::Model {
        id: instance.id.uuid(),
        account_id: instance.account_id.uuid(),
        name: instance.name.to_string(),
        hypervisor_id: instance.hypervisor_id.uuid(),
        location_id: instance.location_id.uuid(),
        status: instance.status.to_string(),
        power: instance.power.to_string(),
        boot_source: instance.boot_source.to_string(),
        image_id: instance.image_id.map(ImageId::uuid),
        vcpus: i64::from(instance.vcpus),
        memory_bytes: instance.memory.as_i64(),
        metadata: codec::to_json("metadata", &instance.metadata)?,
        network: instance.network.as_ref().map(|network| codec::to_json("network", network)).transpose()?,
        task_id: record.task_id.map(TaskId::uuid),
        created_at: instance.created_at,
        capture_failures: i64::from(instance.capture_failures),
        declared_os: instance.declared_os.map(|os| os.to_string()),
        largest_content_bytes: instance.largest.content.as_i64(),
        largest_size_bytes: instance.largest.size.as_i64(),
        iso_id: instance.iso.map(|mount| mount.iso_id.uuid()),
        iso_boot: instance.iso.is_some_and(|mount| mount.boot),
        os_type: instance.guest.os_type.to_string(),
        cloud_init: instance.guest.cloud_init,
    })
}

/// Reads the instance of that id, if there is one.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn get(conn: &Conn<'_>, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
    row::Entity::find_by_id(id.uuid()).one(&conn.0).await?.map(from_row).transpose()
}

/// Returns which of those instances there are.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn existing(conn: &Conn<'_>, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found: Vec<Uuid> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::Id.is_in(ids.iter().map(|id| id.uuid())))
        .into_tuple()
        .all(&conn.0)
        .await?;
    Ok(found.into_iter().map(InstanceId::new).collect())
}

/// Reads the instances that have one of those ids, latest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_ids(conn: &Conn<'_>, ids: &[InstanceId]) -> Result<Vec<InstanceRecord>, StoreError> {
    let named = row::Entity::find().filter(row::Column::Id.is_in(ids.iter().map(|id| id.uuid())));
    let rows = named.order_by_desc(row::Column::Id).all(&conn.0).await?;
    rows.into_iter().map(from_row).collect()
}

/// Reads a page of instances, latest first: of one account, or of all.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    account: Option<AccountId>,
    before: Option<InstanceId>,
    limit: u32,
) -> Result<Vec<InstanceRecord>, StoreError> {
    let mut query = row::Entity::find().order_by_desc(row::Column::Id).limit(u64::from(limit));
    if let Some(account) = account {
        query = query.filter(row::Column::AccountId.eq(account.uuid()));
    }
    if let Some(before) = before {
        query = query.filter(row::Column::Id.lt(before.uuid()));
    }
    query.all(&conn.0).await?.into_iter().map(from_row).collect()
}

/// Reads all instances of a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_hypervisor(conn: &Conn<'_>, id: HypervisorId) -> Result<Vec<InstanceRecord>, StoreError> {
    let rows = row::Entity::find().filter(row::Column::HypervisorId.eq(id.uuid())).all(&conn.0).await?;
    rows.into_iter().map(from_row).collect()
}

/// Counts the instances of a hypervisor.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn count_of_hypervisor(conn: &Conn<'_>, id: HypervisorId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::HypervisorId.eq(id.uuid())).count(&conn.0).await?)
}

/// Counts the instances of a location.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_location(conn: &Conn<'_>, id: LocationId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::LocationId.eq(id.uuid())).count(&conn.0).await?)
}

/// Reads the disks of an instance, the primary first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn disks(conn: &Conn<'_>, id: InstanceId) -> Result<Vec<Disk>, StoreError> {
    let rows = disk::Entity::find()
        .filter(disk::Column::InstanceId.eq(id.uuid()))
        .order_by_desc(disk::Column::IsPrimary)
        .order_by_asc(disk::Column::Id)
        .all(&conn.0)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Disk {
                id: DiskId::new(row.id),
                instance_id: id,
                primary: row.is_primary,
                virtual_size: codec::size("virtual_size_bytes", row.virtual_size_bytes)?,
                format: codec::parse("format", &row.format)?,
                allocated: codec::opt_size("allocated_bytes", row.allocated_bytes)?,
            })
        })
        .collect()
}

/// Adds an instance with its disks.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn insert(tx: &WriteTx, record: &InstanceRecord, disks: &[Disk]) -> Result<(), StoreError> {
    row::Entity::insert(to_row(record)?.into_active_model()).exec_without_returning(&tx.0).await?;
    for disk in disks {
        insert_disk(tx, disk).await?;
    }
    Ok(())
}

/// Adds a disk to an instance.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn insert_disk(tx: &WriteTx, disk: &Disk) -> Result<(), StoreError> {
    let row = disk::Model {
        id: disk.id.uuid(),
        instance_id: disk.instance_id.uuid(),
        is_primary: disk.primary,
        virtual_size_bytes: disk.virtual_size.as_i64(),
        format: disk.format.to_string(),
        allocated_bytes: disk.allocated.map(|size| size.as_i64()),
    };
    disk::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Removes a disk of an instance.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn delete_disk(tx: &WriteTx, id: DiskId) -> Result<(), StoreError> {
    disk::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}

/// Counts the instances that have an ISO in their drive.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_of_iso(conn: &Conn<'_>, id: IsoId) -> Result<u64, StoreError> {
    Ok(row::Entity::find().filter(row::Column::IsoId.eq(id.uuid())).count(&conn.0).await?)
}

/// Changes an instance's row to what the record says.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn update(tx: &WriteTx, record: &InstanceRecord) -> Result<(), StoreError> {
    row::Entity::update(to_row(record)?.into_active_model().reset_all()).exec(&tx.0).await?;
    Ok(())
}

/// Writes how many bytes the primary disk occupies.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn set_allocated(tx: &WriteTx, id: InstanceId, size: ByteSize) -> Result<(), StoreError> {
    disk::Entity::update_many()
        .col_expr(disk::Column::AllocatedBytes, Expr::value(size.as_i64()))
        .filter(disk::Column::InstanceId.eq(id.uuid()))
        .filter(disk::Column::IsPrimary.eq(true))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Gives the primary disk the id and size of the one that replaced it.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn replace_primary(
    tx: &WriteTx,
    instance: InstanceId,
    id: DiskId,
    size: ByteSize,
) -> Result<(), StoreError> {
    disk::Entity::update_many()
        .col_expr(disk::Column::Id, Expr::value(id.uuid()))
        .col_expr(disk::Column::VirtualSizeBytes, Expr::value(size.as_i64()))
        .filter(disk::Column::InstanceId.eq(instance.uuid()))
        .filter(disk::Column::IsPrimary.eq(true))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Removes an instance and its disks.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn delete(tx: &WriteTx, id: InstanceId) -> Result<(), StoreError> {
    row::Entity::delete_by_id(id.uuid()).exec(&tx.0).await?;
    Ok(())
}
