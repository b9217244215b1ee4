//! Bringing an image to a hypervisor that does not reach its storage (S10): its file moves to a
//! storage that does, through a hypervisor that reaches both.

use imprint_domain::{
    Error,
    id::{HypervisorId, ImageId, StorageId},
    image::ImageKind,
    rules,
    size::ByteSize,
    storage::{self as domain, StorageRole},
    task::{Task, TaskKind},
    time::Timestamp,
};
use imprint_store::{
    Conn, hypervisor,
    image::{self, ImageRecord},
    storage, task,
};

use crate::{
    change::Change,
    db_result::DbResult,
    objects::{self, Reader, Serving},
    storages::candidates,
    tasks::moves,
};

/// Has a customer's image moved to a storage of a hypervisor, unless it is on its way. The copy is
/// verified before the image changes to it, and whoever reads the old file keeps it until the end.
///
/// # Errors
///
/// [`imprint_domain::Code::ImageNotReachable`] when no hypervisor reaches the image's storage and
/// one of the wanted hypervisor; what [`domain::choose`] answers when those take no images.
pub(crate) async fn bring(
    change: &mut Change<'_>,
    record: &ImageRecord,
    to: HypervisorId,
) -> Result<(), Error> {
    if is_moving(&change.conn(), record.image.id).await? {
        return Ok(());
    }
    let bytes = rules::stored_upper_bound(record.image.require_available()?.size);
    let target = target(&change.conn(), record.image.storage_id, to, bytes, change.now).await?;
    let owner = change.service.operator_account(&change.conn()).await?.unwrap_or(record.image.account_id);
    moves::queue(change, owner, record, target, bytes).await
}

/// Has the image of a deployment moved to its hypervisor, which can no longer read it from another
/// agent. Where that is not possible, nothing changes: the deployment waits for the agent.
///
/// # Errors
///
/// An error of the database.
pub(crate) async fn bring_for(change: &mut Change<'_>, deployment: &Task) -> Result<(), Error> {
    if !deployment.kind.deploys_image() {
        return Ok(());
    }
    let Some(id) = deployment.image_id else { return Ok(()) };
    let Some(record) = image::get(&change.conn(), id).await.db()? else { return Ok(()) };
    // Stock images stay where the operator put them.
    if record.image.kind != ImageKind::Custom {
        return Ok(());
    }
    match bring(change, &record, deployment.hypervisor_id).await {
        Err(error) if error.internal.is_some() => Err(error),
        Err(error) => {
            tracing::info!(task = %deployment.id, detail = error.detail, "the image cannot be copied either");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn is_moving(conn: &Conn<'_>, id: ImageId) -> Result<bool, Error> {
    let active = task::active_of_image(conn, id).await.db()?;
    Ok(active.iter().any(|record| record.task.kind == TaskKind::ImageMove))
}

/// Chooses a storage of the wanted hypervisor, and a hypervisor that reaches it and the image.
async fn target(
    conn: &Conn<'_>,
    from: StorageId,
    to: HypervisorId,
    bytes: ByteSize,
    now: Timestamp,
) -> Result<(StorageId, HypervisorId), Error> {
    let mut refused = objects::not_reachable(objects::NO_AGENT);
    let all = candidates::of_hypervisor(conn, to, StorageRole::Customer).await?;
    for record in hypervisor::of_storage(conn, from).await.db()? {
        if !record.hypervisor.is_online(now) {
            continue;
        }
        let by = record.hypervisor.id;
        let shared = storage::of_hypervisor(conn, by).await.db()?;
        let mut candidates = all.clone();
        candidates.retain(|candidate| shared.iter().any(|record| record.storage.id == candidate.storage.id));
        if candidates.is_empty() {
            continue;
        }
        match domain::choose(&candidates, bytes, None, now) {
            Ok(chosen) => return Ok((chosen.storage.id, by)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Returns whether a queued deployment waits for its image, which is moving: its hypervisor does
/// not reach the storage where the image is, and no other agent serves it.
pub(crate) async fn is_awaited(conn: &Conn<'_>, task: &Task, now: Timestamp) -> Result<bool, Error> {
    let Some(id) = task.image_id else { return Ok(false) };
    let Some(record) = image::get(conn, id).await.db()? else { return Ok(false) };
    let reaching = storage::bound_hypervisors(conn, record.image.storage_id).await.db()?;
    if reaching.contains(&task.hypervisor_id) {
        return Ok(false);
    }
    let serving = objects::serving(conn, record.image.storage_id, Reader::Agent, now).await?;
    Ok(!matches!(serving, Serving::Online(_)))
}
