//! The facts that decide which image storage takes an image.

use imprint_domain::{
    Error,
    id::{HypervisorId, StorageId},
    size::ByteSize,
    storage::{Candidate, StorageRole},
};
use imprint_store::{Conn, storage, storage_health, storage_use};

use crate::db_result::DbResult;

/// Reads the storages of a role that are bound to a hypervisor, with what its agent reported and
/// with what is reserved. Inside a write transaction, what is chosen of them can be reserved.
pub(crate) async fn of_hypervisor(
    conn: &Conn<'_>,
    id: HypervisorId,
    role: StorageRole,
) -> Result<Vec<Candidate>, Error> {
    let bound: Vec<_> = storage::of_hypervisor(conn, id)
        .await
        .db()?
        .into_iter()
        .map(|record| record.storage)
        .filter(|storage| storage.role == role)
        .collect();
    let ids: Vec<StorageId> = bound.iter().map(|storage| storage.id).collect();
    let mut health = storage_health::of_hypervisor(conn, id).await.db()?;
    let reserved = storage_use::reserved(conn, &ids).await.db()?;
    Ok(bound
        .into_iter()
        .map(|storage| {
            let reported = health.iter().position(|(of, _)| *of == storage.id);
            Candidate {
                health: reported.map(|index| health.swap_remove(index).1),
                reserved: reserved.get(&storage.id).copied().unwrap_or(ByteSize::ZERO),
                storage,
            }
        })
        .collect())
}
