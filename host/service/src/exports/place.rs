//! Where an export is written, and by which hypervisor's agent.

use imprint_domain::{
    Code, Error,
    hypervisor::Hypervisor,
    id::{HypervisorId, StorageId},
    image::Image,
    size::ByteSize,
    storage::{self as domain, StorageRole},
    time::Timestamp,
};
use imprint_store::{Conn, hypervisor};

use crate::{
    db_result::DbResult,
    objects::{self, Reader, Serving},
    storages::candidates,
};

/// The number of hypervisors among which one is looked for that reads the image from another's
/// agent.
const MAX_HYPERVISORS: u32 = 1000;

/// Chooses the storage that takes an export, and the hypervisor that writes it: one that reaches
/// the image's storage, or else one that reads the image from the agent of another. The storage of
/// the image comes first.
///
/// # Errors
///
/// Those of [`domain::choose`]; [`Code::HypervisorOffline`] where no agent is online that reaches
/// the image.
pub(super) async fn choose(
    conn: &Conn<'_>,
    image: &Image,
    bytes: ByteSize,
    now: Timestamp,
) -> Result<(StorageId, HypervisorId), Error> {
    let mut refusal = None;
    for reader in readers(conn, image, now).await? {
        match of_hypervisor(conn, image.storage_id, &reader, bytes, now).await {
            Ok(storage) => return Ok((storage, reader.id)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(offline))
}

/// Returns a hypervisor whose agent can read the image now.
///
/// # Errors
///
/// [`Code::HypervisorOffline`] where there is none.
pub(super) async fn reader(conn: &Conn<'_>, image: &Image, now: Timestamp) -> Result<HypervisorId, Error> {
    let found = readers(conn, image, now).await?;
    found.first().map(|hypervisor| hypervisor.id).ok_or_else(offline)
}

fn offline() -> Error {
    let detail = "no agent that reaches the image is online; try again when one is back";
    Error::new(Code::HypervisorOffline, detail)
}

/// Returns the hypervisors whose agents can read an image now: those that are bound to its storage
/// first.
async fn readers(conn: &Conn<'_>, image: &Image, now: Timestamp) -> Result<Vec<Hypervisor>, Error> {
    let bound = hypervisor::of_storage(conn, image.storage_id).await.db()?;
    let mut readers: Vec<_> =
        bound.into_iter().map(|record| record.hypervisor).filter(|one| one.is_online(now)).collect();
    if !matches!(objects::serving(conn, image.storage_id, Reader::Agent, now).await?, Serving::Online(_)) {
        return Ok(readers);
    }
    for record in hypervisor::list(conn, None, MAX_HYPERVISORS).await.db()? {
        let other = record.hypervisor;
        let near = other.location_id == image.location_id && other.is_online(now);
        if near && readers.iter().all(|known| known.id != other.id) {
            readers.push(other);
        }
    }
    Ok(readers)
}

async fn of_hypervisor(
    conn: &Conn<'_>,
    first: StorageId,
    hypervisor: &Hypervisor,
    bytes: ByteSize,
    now: Timestamp,
) -> Result<StorageId, Error> {
    let candidates = candidates::of_hypervisor(conn, hypervisor.id, StorageRole::Customer).await?;
    let near = domain::choose(&candidates, bytes, Some(first), now);
    let chosen = near.or_else(|_| domain::choose(&candidates, bytes, None, now))?;
    Ok(chosen.storage.id)
}
