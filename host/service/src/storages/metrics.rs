//! The figures of image storages for monitoring.

use std::collections::BTreeMap;

use imprint_domain::{
    Error,
    id::StorageId,
    name::Name,
    size::ByteSize,
    storage::{HealthClass, StorageRole, StorageState},
    storage_scan::{ObjectClass, ScanState},
    time::Timestamp,
};
use imprint_store::{
    storage::{self, StorageFilter},
    storage_scan::{self, ScanRecord},
};

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
    /// What the last complete scan found, if there was one.
    pub scan: Option<ScanMetrics>,
}

/// The figures of the last complete scan of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanMetrics {
    /// When it ended.
    pub finished_at: Timestamp,
    /// The number of objects by class; those of classes without any are 0.
    pub objects: BTreeMap<ObjectClass, u64>,
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
        let mut figures = Vec::with_capacity(views.len());
        for view in views {
            let scan = storage_scan::latest(&conn, view.id, Some(ScanState::Complete), 1).await.db()?;
            figures.push(StorageMetrics {
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
                scan: scan.first().and_then(scan_metrics),
            });
        }
        Ok(figures)
    }
}

fn scan_metrics(scan: &ScanRecord) -> Option<ScanMetrics> {
    let count = |class: &ObjectClass| scan.classes.get(class).map_or(0, |count| count.count);
    let objects = ObjectClass::ALL.iter().map(|class| (*class, count(class))).collect();
    Some(ScanMetrics { finished_at: scan.finished_at?, objects })
}
