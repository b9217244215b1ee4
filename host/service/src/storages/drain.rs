//! Draining: the images of a storage move to others in the background, a few at a time, while
//! everything that reads them continues.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    hypervisor::Hypervisor,
    id::{AccountId, HypervisorId, ImageId, StorageId},
    image::ImageStatus,
    rules,
    size::ByteSize,
    storage::{self as domain, ImageStorage, StorageState},
    task::{TaskKind, TaskState},
    time::Timestamp,
};
use imprint_store::{
    Conn, hypervisor,
    image::{self, ImageRecord},
    storage, storage_use,
    task::{self, TaskFilter},
};

use crate::{
    Service,
    change::Change,
    db_result::DbResult,
    objects::{self, Reader, Serving},
    storages::candidates,
    tasks::moves,
};

/// The number of images of one storage that move at the same time.
const MAX_MOVES: usize = 2;
/// The number of images that are read at once.
const PAGE: u32 = 200;
/// The pause before an image is moved again after a failure, in seconds.
const PAUSE_S: i64 = 600;
/// The number of hypervisors among which one is looked for that takes images from another's agent.
const MAX_HYPERVISORS: u32 = 1000;
/// The number of tasks of an image among which its last move is looked for.
const HISTORY: u32 = 20;

impl Service {
    /// Queues moves of images of the storages that are drained. Returns their number.
    pub(crate) async fn drain_storages(&self) -> Result<u32, Error> {
        let draining = storage::in_state(&self.read(), StorageState::Draining).await.db()?;
        if draining.is_empty() {
            return Ok(0);
        }
        let Some(account) = self.operator_account(&self.read()).await? else { return Ok(0) };
        let mut count = 0;
        for record in draining {
            count += self.drain(account, record.storage.id).await?;
        }
        Ok(count)
    }

    async fn drain(&self, account: AccountId, id: StorageId) -> Result<u32, Error> {
        // Looking does not hold up the one writer of the database: a storage may have many images
        // that cannot move.
        let found = movable(&self.read(), id, self.now()).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let mut change = Change::begin(self).await?;
        let Some(record) = storage::get(&change.conn(), id).await.db()? else { return Ok(0) };
        if record.storage.state != StorageState::Draining {
            return Ok(0);
        }
        let free = MAX_MOVES.saturating_sub(active_moves(&change.conn(), id).await?);
        let mut count = 0;
        for image in found.into_iter().take(free) {
            let Some(image) = image::get(&change.conn(), image).await.db()? else { continue };
            let is_here = image.image.storage_id == id && image.image.status == ImageStatus::Available;
            if !is_here || is_paused(&change.conn(), &image, change.now).await? {
                continue;
            }
            let bytes = rules::stored_upper_bound(image.image.require_available()?.size);
            if let Some(target) = target(&change.conn(), &record.storage, bytes, change.now).await? {
                moves::queue(&mut change, account, &image, target, bytes).await?;
                count += 1;
            }
        }
        if count > 0 {
            change.commit().await?;
        }
        Ok(count)
    }
}

/// Returns the oldest images of a storage that can move now, as many as may move at once.
async fn movable(conn: &Conn<'_>, id: StorageId, now: Timestamp) -> Result<Vec<ImageId>, Error> {
    let mut found = Vec::new();
    let Some(record) = storage::get(conn, id).await.db()? else { return Ok(found) };
    let free = MAX_MOVES.saturating_sub(active_moves(conn, id).await?);
    let (mut after, mut too_large) = (None, None);
    while found.len() < free {
        let page = image::oldest_of_storage(conn, id, ImageStatus::Available, after, PAGE).await.db()?;
        let Some(last) = page.last() else { break };
        after = Some(last.image.id);
        for image in page {
            let bytes = rules::stored_upper_bound(image.image.require_available()?.size);
            // Where there is no place for an image, there is none for a larger one.
            if found.len() == free || too_large.is_some_and(|size| bytes >= size) {
                continue;
            }
            if target(conn, &record.storage, bytes, now).await?.is_none() {
                too_large = Some(bytes);
            } else if !is_paused(conn, &image, now).await? {
                found.push(image.image.id);
            }
        }
    }
    Ok(found)
}

async fn active_moves(conn: &Conn<'_>, id: StorageId) -> Result<usize, Error> {
    let mut count = 0;
    for task in storage_use::active(conn, id, None).await.db()? {
        let found = task::get(conn, task).await.db()?;
        count += usize::from(found.is_some_and(|found| found.task.kind == TaskKind::ImageMove));
    }
    Ok(count)
}

/// Returns whether the image is being moved, or its last move failed a short while ago.
async fn is_paused(conn: &Conn<'_>, image: &ImageRecord, now: Timestamp) -> Result<bool, Error> {
    let filter = TaskFilter {
        account_id: None,
        state: Vec::new(),
        image_id: Some(image.image.id),
        instance_id: None,
        before: None,
        limit: HISTORY,
    };
    let tasks = task::list(conn, &filter).await.db()?;
    let last = tasks.iter().find(|record| record.task.kind == TaskKind::ImageMove);
    Ok(last.is_some_and(|record| match record.task.state {
        TaskState::Queued | TaskState::Running => true,
        TaskState::Failed | TaskState::Cancelled => {
            record.task.finished_at.is_some_and(|at| at > now - TimeDelta::seconds(PAUSE_S))
        }
        TaskState::Succeeded => false,
    }))
}

/// Chooses a storage that takes the image among those that a hypervisor reaches; `None` where its
/// agent is offline, or there is none.
async fn target_of(
    conn: &Conn<'_>,
    (from, hypervisor): (&ImageStorage, &Hypervisor),
    bytes: ByteSize,
    now: Timestamp,
) -> Result<Option<(StorageId, HypervisorId)>, Error> {
    if !hypervisor.is_online(now) {
        return Ok(None);
    }
    let mut candidates = candidates::of_hypervisor(conn, hypervisor.id, from.role).await?;
    candidates.retain(|candidate| candidate.storage.id != from.id);
    let chosen = domain::choose(&candidates, bytes, from.drain_to, now);
    Ok(chosen.ok().map(|chosen| (chosen.storage.id, hypervisor.id)))
}

/// Chooses a storage that takes the image, and the hypervisor that copies it: one that reaches
/// both, or else one that reads from the agent of another.
async fn target(
    conn: &Conn<'_>,
    from: &ImageStorage,
    bytes: ByteSize,
    now: Timestamp,
) -> Result<Option<(StorageId, HypervisorId)>, Error> {
    let reaching = hypervisor::of_storage(conn, from.id).await.db()?;
    for record in &reaching {
        if let Some(target) = target_of(conn, (from, &record.hypervisor), bytes, now).await? {
            return Ok(Some(target));
        }
    }
    if !matches!(objects::serving(conn, from.id, Reader::Agent, now).await?, Serving::Online(_)) {
        return Ok(None);
    }
    for record in hypervisor::list(conn, None, MAX_HYPERVISORS).await.db()? {
        let near = reaching.iter().any(|one| one.hypervisor.location_id == record.hypervisor.location_id);
        if near && let Some(target) = target_of(conn, (from, &record.hypervisor), bytes, now).await? {
            return Ok(Some(target));
        }
    }
    Ok(None)
}
