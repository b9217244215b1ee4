//! The port to inspectors (`imprint:inspector` in WIT).

use std::sync::Arc;

use async_trait::async_trait;
use imprint_domain::findings::DiskFindings;

use crate::{BlockSource, PortError};

/// A look inside of a logical disk.
#[async_trait]
pub trait DiskInspector: Send + Sync {
    /// Returns the plugin's name: `disk`, ...
    fn name(&self) -> &str;

    /// Looks inside of a disk. `disk` has the bytes that a guest would see; only metadata is read,
    /// within the limits of the plugin. What cannot be read is in the findings, with the reason.
    ///
    /// # Errors
    ///
    /// The disk cannot be read, or the plugin fails beyond one file system: an error of its own, a
    /// trap, a limit, or an answer that breaks the contract.
    async fn inspect(&self, disk: Arc<dyn BlockSource>) -> Result<DiskFindings, PortError>;
}
