//! Image storages as admins see them.

use std::collections::BTreeMap;

use imprint_domain::{
    Error,
    id::{HypervisorId, StorageId},
    image::ImageStatus,
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    storage::{HealthClass, ImageStorage, StorageHealth, StorageRole, StorageState, StorageSummary},
    time::Timestamp,
};
use imprint_store::{
    Conn, hypervisor, image,
    storage::{self, StorageRecord},
    storage_health, storage_use,
};

use crate::{StorageSecretView, catalogue::storage_secrets, db_result::DbResult};

/// An image storage, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageView {
    /// The storage's id.
    pub id: StorageId,
    /// The storage's name.
    pub name: Name,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The settings of the plugin; for `local`: `path`.
    pub settings: BTreeMap<String, String>,
    /// What the storage takes.
    pub state: StorageState,
    /// How much it is preferred for new images.
    pub weight: u32,
    /// Whether the operator says that the path is the same storage on every machine.
    pub shared_path: bool,
    /// The free space in bytes below which it is nearly full, if it was set.
    pub min_free_bytes: Option<ByteSize>,
    /// Where its images move while it is drained, if that was set.
    pub drain_to: Option<StorageId>,
    /// The worst health that any hypervisor sees.
    pub health: HealthClass,
    /// What an operator has to know about it; `None` when nothing is wrong.
    pub problem: Option<String>,
    /// The smallest free space in bytes that an agent saw last.
    pub available_bytes: Option<ByteSize>,
    /// The total space in bytes.
    pub total_bytes: Option<ByteSize>,
    /// The bytes that are reserved for tasks.
    pub reserved_bytes: ByteSize,
    /// When an agent reported it last.
    pub seen_at: Option<Timestamp>,
    /// The secrets that are set, without their values.
    pub secrets: Vec<StorageSecretView>,
    /// The hypervisors that it is bound to, each with what its agent reported.
    pub bindings: Vec<StorageBindingView>,
    /// Its images, by status.
    pub images: Vec<StorageImagesView>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Increases with every change by an operator; the `ETag`.
    pub version: u32,
}

/// A hypervisor that an image storage is bound to, with what its agent reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageBindingView {
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
    /// How well it can use the storage.
    pub health: HealthClass,
    /// What an operator has to know about it.
    pub problem: Option<String>,
    /// The free space in bytes.
    pub available_bytes: Option<ByteSize>,
    /// The total space in bytes.
    pub total_bytes: Option<ByteSize>,
    /// When the agent reported it.
    pub seen_at: Option<Timestamp>,
}

/// The images of one status on an image storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageImagesView {
    /// The status.
    pub status: ImageStatus,
    /// The number of images.
    pub count: u64,
    /// The bytes of their files, as far as they are stored.
    pub bytes: ByteSize,
}

/// Reads a storage that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: StorageId) -> Result<StorageRecord, Error> {
    storage::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("image storage"))
}

/// Returns one storage as admins see it.
pub(crate) async fn view(
    conn: &Conn<'_>,
    record: StorageRecord,
    now: Timestamp,
) -> Result<StorageView, Error> {
    let mut views = views(conn, vec![record], now).await?;
    views.pop().ok_or_else(|| Error::internal("a record without its view"))
}

/// Returns storages as admins see them.
pub(crate) async fn views(
    conn: &Conn<'_>,
    records: Vec<StorageRecord>,
    now: Timestamp,
) -> Result<Vec<StorageView>, Error> {
    let ids: Vec<StorageId> = records.iter().map(|record| record.storage.id).collect();
    let bindings = storage::bindings(conn, &ids).await.db()?;
    let health = storage_health::of_storages(conn, &ids).await.db()?;
    let usage = image::usage_of_storages(conn, &ids).await.db()?;
    let reserved = storage_use::reserved(conn, &ids).await.db()?;
    let mut views = Vec::with_capacity(records.len());
    for record in records {
        let id = record.storage.id;
        let reports: Vec<StorageHealth> =
            health.iter().filter(|(of, _)| *of == id).map(|(_, health)| health.clone()).collect();
        let reserved = reserved.get(&id).copied().unwrap_or(ByteSize::ZERO);
        let summary = StorageSummary::of(&record.storage, &reports, reserved, now);
        let bound = bindings.iter().filter(|bound| bound.storage_id == id).map(|bound| bound.hypervisor_id);
        let bindings = bound
            .map(|hypervisor_id| binding(&record.storage, hypervisor_id, &reports, reserved, now))
            .collect();
        let images = usage
            .iter()
            .filter(|usage| usage.storage_id == id)
            .map(|usage| StorageImagesView { status: usage.status, count: usage.count, bytes: usage.bytes })
            .collect();
        let storage = record.storage;
        views.push(StorageView {
            id,
            name: storage.name,
            role: storage.role,
            kind: storage.kind,
            settings: storage.settings,
            state: storage.state,
            weight: storage.weight.number(),
            shared_path: storage.shared_path,
            min_free_bytes: storage.min_free,
            drain_to: storage.drain_to,
            health: summary.class,
            problem: problem(conn, summary.problem).await?,
            available_bytes: summary.available,
            total_bytes: summary.total,
            reserved_bytes: reserved,
            seen_at: summary.seen_at,
            secrets: storage_secrets::views(conn, id).await?,
            bindings,
            images,
            created_at: record.created_at,
            version: storage.version,
        });
    }
    Ok(views)
}

fn binding(
    storage: &ImageStorage,
    hypervisor_id: HypervisorId,
    reports: &[StorageHealth],
    reserved: ByteSize,
    now: Timestamp,
) -> StorageBindingView {
    let report = reports.iter().find(|report| report.hypervisor_id == hypervisor_id);
    let class = report.map_or(HealthClass::Unknown, |report| report.class(storage, reserved, now));
    StorageBindingView {
        hypervisor_id,
        health: class,
        problem: report.and_then(|report| report.problem(class)),
        available_bytes: report.and_then(|report| report.available),
        total_bytes: report.and_then(|report| report.total),
        seen_at: report.map(|report| report.seen_at),
    }
}

/// Returns a problem with the name of the hypervisor that has it.
async fn problem(conn: &Conn<'_>, problem: Option<(HypervisorId, String)>) -> Result<Option<String>, Error> {
    let Some((id, text)) = problem else { return Ok(None) };
    let found = hypervisor::get(conn, id).await.db()?;
    let name = found.map_or_else(|| id.to_string(), |found| found.hypervisor.name.to_string());
    Ok(Some(format!("on {name}: {text}")))
}
