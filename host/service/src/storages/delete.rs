//! Removing an image storage that nothing refers to. Its files are never touched.

use imprint_domain::{Code, Error, id::StorageId};
use imprint_store::{export, iso, storage, storage_use};

use crate::{
    Op, Service,
    change::Change,
    db_result::DbResult,
    storages::{
        edit::{require_no_images, require_version},
        view::get,
    },
};

impl Service {
    /// Removes an image storage without images, with its bindings. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; [`Code::ResourceInUse`] with what refers
    /// to it; an error of the database.
    pub async fn storage_delete(&self, op: &Op, id: StorageId, if_match: Option<u32>) -> Result<(), Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let record = get(&change.conn(), id).await?;
        require_version(&record, if_match)?;
        require_no_images(&change.conn(), id, "delete them, or move them with the state `draining`").await?;
        let isos = iso::count_of_storage(&change.conn(), id).await.db()?;
        if isos > 0 {
            let detail = format!("the storage has {isos} ISOs; delete them first");
            return Err(Error::new(Code::ResourceInUse, detail).with("isos", isos));
        }
        let exports = export::count_of_storage(&change.conn(), id).await.db()?;
        if exports > 0 {
            let detail =
                format!("the storage has {exports} exports; delete them, or wait until they are over");
            return Err(Error::new(Code::ResourceInUse, detail).with("exports", exports));
        }
        if let Some(task) = storage_use::active(&change.conn(), id, None).await.db()?.first() {
            return Err(Error::new(
                Code::ResourceInUse,
                "a task needs the storage; wait until it is over, or cancel it",
            )
            .with("task_id", task));
        }
        if let Some(other) = storage::drained_to(&change.conn(), id).await.db()?.first() {
            return Err(Error::new(
                Code::ResourceInUse,
                format!(
                    "the storage {} is drained to it; choose another target there first",
                    other.storage.name
                ),
            )
            .with("storage_id", other.storage.id));
        }
        storage_use::remove_ended(&change.tx, id).await.db()?;
        storage::delete(&change.tx, id).await.db()?;
        change.audit(op, "storage.delete", id).await?;
        change.storage_removed(id).await?;
        change.commit().await
    }
}
