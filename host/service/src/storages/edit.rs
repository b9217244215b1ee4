//! Changing an image storage, and ending its binding to a hypervisor.

use std::collections::BTreeMap;

use imprint_domain::{
    Code, Error,
    id::{HypervisorId, StorageId},
    name::Name,
    secret::Secrets,
    size::ByteSize,
    storage::{ImageStorage, StorageState, Weight},
    task::TaskKind,
};
use imprint_store::{
    Conn, image,
    storage::{self, StorageRecord},
    storage_use,
    task::{self, TaskRecord},
};

use crate::{
    Op, Service, StorageView,
    catalogue::{hypervisor, storage_kind, storage_secrets},
    change::Change,
    db_result::DbResult,
    storages::view::{get, view},
    tasks::moves,
    validate::name_taken,
};

/// A change of an image storage; `None` keeps a property. The role and the kind never change.
#[derive(Clone, Debug, Default)]
pub struct StoragePatch {
    /// The new name.
    pub name: Option<Name>,
    /// All settings of the plugin.
    pub settings: Option<BTreeMap<String, String>>,
    /// What the storage takes.
    pub state: Option<StorageState>,
    /// Where its images move while it is drained; `Some(None)` chooses for each image.
    pub drain_to: Option<Option<StorageId>>,
    /// How much it is preferred for new images.
    pub weight: Option<Weight>,
    /// Whether the path is the same storage on every machine.
    pub shared_path: Option<bool>,
    /// The free space below which it is nearly full; `Some(None)` takes the default.
    pub min_free: Option<Option<ByteSize>>,
}

/// Refuses a change of what the client has not read.
pub(crate) fn require_version(record: &StorageRecord, if_match: Option<u32>) -> Result<(), Error> {
    let version = record.storage.version;
    if if_match.is_some_and(|seen| seen != version) {
        return Err(Error::new(
            Code::PreconditionFailed,
            "read the image storage again, then repeat the change",
        )
        .with("version", version));
    }
    Ok(())
}

async fn check_target(conn: &Conn<'_>, storage: &ImageStorage) -> Result<(), Error> {
    let Some(id) = storage.drain_to else { return Ok(()) };
    let invalid = |text: &str| Error::new(Code::InvalidRequest, text).at("/drain_to");
    let target = get(conn, id).await.map_err(|error| error.at("/drain_to"))?.storage;
    if target.role != storage.role {
        return Err(invalid("the target has another role; choose a storage of the same role"));
    }
    match target.state {
        StorageState::Active => Ok(()),
        StorageState::ReadOnly | StorageState::Draining => {
            Err(invalid("the target takes no images; choose an active storage"))
        }
    }
}

impl Service {
    /// Changes an image storage. `if_match` is the version that the client saw. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; [`Code::NameTaken`];
    /// [`Code::StorageNotShared`]; [`Code::InvalidRequest`]; an error of the database.
    pub async fn storage_update(
        &self,
        op: &Op,
        id: StorageId,
        patch: StoragePatch,
        if_match: Option<u32>,
    ) -> Result<StorageView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        require_version(&record, if_match)?;
        let was = record.storage.state;
        let storage = &mut record.storage;
        if patch.state.is_some() || patch.drain_to.is_some() {
            let state = patch.state.unwrap_or(storage.state);
            let kept = storage.drain_to.filter(|_| state == StorageState::Draining);
            storage.set_state(state, patch.drain_to.unwrap_or(kept))?;
            check_target(&change.conn(), storage).await?;
        }
        if let Some(settings) = patch.settings {
            let conn = change.conn();
            let kept = storage_secrets::names(&conn, id).await?;
            storage.settings =
                storage_kind::check_settings(&conn, &storage.kind, &settings, &Secrets::new(), &kept).await?;
        }
        if let Some(name) = patch.name {
            storage.name = name;
        }
        if let Some(weight) = patch.weight {
            storage.weight = weight;
        }
        if let Some(min_free) = patch.min_free {
            storage.min_free = min_free;
        }
        if let Some(shared) = patch.shared_path {
            storage.shared_path = shared;
            storage.check_shared_path()?;
            storage.require_shared(&storage::bound_hypervisors(&change.conn(), id).await.db()?)?;
        }
        storage.count_version();
        storage::update(&change.tx, &record).await.map_err(name_taken("image storage"))?;
        if was == StorageState::Draining && record.storage.state != StorageState::Draining {
            let moving = moves_of(&change, id).await?;
            moves::stop(&mut change, moving).await?;
        }
        let answer = view(&change.conn(), record, change.now).await?;
        change.audit(op, "storage.update", id).await?;
        change.storage_changed(id).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Ends the binding of a storage to a hypervisor; ending it twice changes nothing. The last
    /// hypervisor of a storage with images is unbound with `force` only. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::ResourceInUse`] while a task of the hypervisor needs the storage, and without
    /// `force` when its images could not be reached any more; an error of the database.
    pub async fn storage_unbind(
        &self,
        op: &Op,
        id: StorageId,
        hypervisor_id: HypervisorId,
        force: bool,
    ) -> Result<StorageView, Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let record = get(&change.conn(), id).await?;
        hypervisor::get(&change.conn(), hypervisor_id).await?;
        let bound = storage::bound_hypervisors(&change.conn(), id).await.db()?;
        if bound.contains(&hypervisor_id) {
            require_unneeded(&change, id, hypervisor_id).await?;
            if bound.len() == 1 && !force {
                require_no_images(
                    &change.conn(),
                    id,
                    "no hypervisor could reach them; move them first (state `draining`), or send `force`",
                )
                .await?;
            }
            storage::unbind(&change.tx, id, hypervisor_id).await.db()?;
            change.audit(op, "storage.unbind", id).await?;
            change.storage_changed(id).await?;
        }
        let answer = view(&change.conn(), record, change.now).await?;
        change.commit().await?;
        Ok(answer)
    }
}

/// Reads the moves of images away from a storage.
async fn moves_of(change: &Change<'_>, id: StorageId) -> Result<Vec<TaskRecord>, Error> {
    let mut moving = Vec::new();
    for used in storage_use::active(&change.conn(), id, None).await.db()? {
        let from_here = storage_use::of_task(&change.conn(), used).await.db()?;
        let reads = from_here.iter().any(|used| used.storage_id == id && used.bytes == ByteSize::ZERO);
        let found = task::get(&change.conn(), used).await.db()?;
        moving.extend(found.filter(|found| reads && found.task.kind == TaskKind::ImageMove));
    }
    Ok(moving)
}

/// Refuses while a task of the hypervisor needs the storage.
async fn require_unneeded(
    change: &Change<'_>,
    id: StorageId,
    hypervisor_id: HypervisorId,
) -> Result<(), Error> {
    let using = storage_use::active(&change.conn(), id, Some(hypervisor_id)).await.db()?;
    let with_images = task::active_with_images_of(&change.conn(), hypervisor_id, id).await.db()?;
    let first = using.first().copied().or_else(|| with_images.first().map(|record| record.task.id));
    match first {
        None => Ok(()),
        Some(task) => Err(Error::new(
            Code::ResourceInUse,
            "a task of the hypervisor needs the storage; wait until it is over, or cancel it",
        )
        .with("task_id", task)),
    }
}

/// Refuses a storage with images; `detail` says what to do.
pub(super) async fn require_no_images(conn: &Conn<'_>, id: StorageId, detail: &str) -> Result<(), Error> {
    let usage = image::usage_of_storages(conn, &[id]).await.db()?;
    let count: u64 = usage.iter().map(|usage| usage.count).sum();
    if count == 0 {
        return Ok(());
    }
    Err(Error::new(Code::ResourceInUse, format!("the storage has {count} images; {detail}"))
        .with("images", count))
}
