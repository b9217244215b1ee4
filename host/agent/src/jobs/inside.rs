//! A look inside of an image's disk (X5): what system it has, and what is installed in it.
//!
//! A job that has written or read an image opens its disk ([`crate::jobs::copy::open_image`] for
//! what a storage has) and calls [`look`]. Findings are advice: a disk that cannot be looked into
//! fails no job.

use std::sync::Arc;

use imprint_data_path::{Disk, WriteOptions, logical_source};
use imprint_domain::findings::DiskFindings;
use imprint_ports::{DiskInspector, PortError};
use tracing::{info, warn};

use crate::jobs::job::Job;

/// Looks inside of a disk with the machine's inspector. Returns `None` where there is none, and
/// where it failed, which is in the log.
pub(crate) async fn look(job: &Job, disk: &Arc<Disk>) -> Option<DiskFindings> {
    let inspector = job.machine.inspector()?;
    match inspect(job, disk, inspector.as_ref()).await {
        Ok(findings) => {
            let system = findings.system.name.as_deref().unwrap_or(findings.system.family.as_str());
            let (firmware, unread) = (findings.firmware.as_str(), findings.unread.len());
            info!(system, firmware, unread, "looked inside of the disk");
            Some(findings)
        }
        Err(error) => {
            warn!(code = error.code, %error, "cannot look inside of the disk");
            None
        }
    }
}

async fn inspect(
    job: &Job,
    disk: &Arc<Disk>,
    inspector: &dyn DiskInspector,
) -> Result<DiskFindings, PortError> {
    let options = WriteOptions { cancel: job.control.child_token(), ..WriteOptions::default() };
    let source = logical_source(disk, &options)
        .await
        .map_err(|error| PortError::host(error.class(), error.code(), error.report()))?;
    inspector.inspect(source).await
}
