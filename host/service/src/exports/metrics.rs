//! The figures of exports for monitoring.

use imprint_domain::{Error, export::ExportStatus};
use imprint_store::export;

use crate::{Service, db_result::DbResult};

/// The number and the size of the exports of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportMetrics {
    /// The status.
    pub status: ExportStatus,
    /// The number of exports.
    pub count: u64,
    /// The bytes of their files.
    pub bytes: u64,
}

impl Service {
    /// Returns the figures of all exports, by status.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn export_metrics(&self) -> Result<Vec<ExportMetrics>, Error> {
        let counts = export::counts(&self.read()).await.db()?;
        let figures = counts.into_iter().map(|count| ExportMetrics {
            status: count.status,
            count: count.count,
            bytes: count.bytes,
        });
        Ok(figures.collect())
    }
}
