//! The figures of image storages for monitoring.

use imprint_domain::{
    Error,
    id::StorageId,
    name::Name,
    size::ByteSize,
    storage::{HealthClass, StorageRole, StorageState},
};
use imprint_store::storage::{self, StorageFilter};

use crate::{Service, db_result::DbResult, storages::view::views};

/// The most storages whose figures are published; a provider has some ten.
const MAX_STORAGES: u32 = 500;

/// The figures of one image storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageMetrics {
    /// The storage.
    pub id: StorageId,
    /// Its name.
    pub name: Name,
    /// Its purpose.
    pub role: StorageRole,
    /// What it takes.
    pub state: StorageState,
    /// The worst health that any hypervisor sees.
    pub health: HealthClass,
    /// The smallest free space in bytes that an agent saw last.
    pub available_bytes: Option<ByteSize>,
    /// The total space in bytes.
    pub total_bytes: Option<ByteSize>,
    /// The bytes that are reserved for tasks.
    pub reserved_bytes: ByteSize,
    /// The number of its images.
    pub images: u64,
    /// The bytes of their files.
    pub image_bytes: ByteSize,
}

impl Service {
    /// Returns the figures of the image storages, oldest first.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn storage_metrics(&self) -> Result<Vec<StorageMetrics>, Error> {
        let conn = self.read();
        let rows = storage::list(&conn, &StorageFilter::default(), None, MAX_STORAGES).await.db()?;
        let views = views(&conn, rows, self.now()).await?;
        Ok(views
            .into_iter()
            .map(|view| StorageMetrics {
                id: view.id,
                name: view.name,
                role: view.role,
                state: view.state,
                health: view.health,
                available_bytes: view.available_bytes,
                total_bytes: view.total_bytes,
                reserved_bytes: view.reserved_bytes,
                images: view.images.iter().map(|images| images.count).sum(),
                image_bytes: view
                    .images
                    .iter()
                    .fold(ByteSize::ZERO, |sum, images| sum.saturating_add(images.bytes)),
            })
            .collect())
    }
}
