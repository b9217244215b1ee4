//! Writing the file of an export to a sink.

use std::sync::Arc;

use imprint_agent_protocol::ExportImageAssignment;
use imprint_data_path::{Disk, HashingSink, Progress, WriteOptions, sha256 as sha256_of};
use imprint_domain::{export::DiskVariant, image::ImageFormat};
use imprint_ports::{BlockSink, Props, StorageBackend};
use tokio_util::sync::CancellationToken;

use super::{
    appliance,
    sink::{Made, finish},
};
use crate::{
    error::JobError,
    jobs::{
        copy::{self, Place, job_error},
        job::Job,
    },
};

/// Writes a disk in the form that an assignment asks for.
pub(super) async fn write(
    job: &Job,
    assignment: &ExportImageAssignment,
    disk: &Arc<Disk>,
    (sink, is_file): (Arc<dyn BlockSink>, bool),
    (progress, cancel): (Arc<Progress>, CancellationToken),
) -> Result<Made, JobError> {
    let mut format_options = Props::new();
    if let Some(compression) = assignment.form.compression {
        format_options.insert("compress".to_owned(), compression.to_string());
    }
    let subformat = match (assignment.form.format, assignment.form.variant) {
        (ImageFormat::Vmdk | ImageFormat::Ova, _) => Some("streamOptimized".to_owned()),
        (_, Some(DiskVariant::Fixed)) => Some("fixed".to_owned()),
        (_, Some(DiskVariant::Dynamic)) => Some("dynamic".to_owned()),
        (_, None) => None,
    };
    let options = WriteOptions { subformat, format_options, cancel, progress, ..WriteOptions::default() };
    if assignment.form.format == ImageFormat::Ova {
        let vmdk = job.machine.format(ImageFormat::Vmdk.as_str())?;
        return appliance::write(job, assignment, (disk, vmdk.as_ref()), (sink, is_file), &options).await;
    }
    let format = job.machine.format(assignment.form.format.as_str())?;
    if is_file || !sink.append_only() {
        let written = copy::write_to(disk, format.as_ref(), &sink, &options).await?;
        let (size, logical, stored) = (written.file_size, written.logical, written.stored);
        return Ok(Made { size, logical, stored, sha256: None });
    }
    let hashing = Arc::new(HashingSink::over(sink, 0));
    let target: Arc<dyn BlockSink> = hashing.clone();
    let written = copy::write_to(disk, format.as_ref(), &target, &options).await?;
    drop(target);
    let hashed = finish(hashing)?;
    Ok(Made {
        size: written.file_size,
        logical: written.logical,
        stored: written.stored,
        sha256: Some(hashed.sha256),
    })
}

/// Reads the object of a key and returns its SHA-256.
pub(super) async fn sha256(job: &Job, storage: &dyn StorageBackend, key: &str) -> Result<String, JobError> {
    let source = copy::open_locator(storage.open_read(key).await?, job.control.child_token()).await?;
    let hashed = job.control.unless_stopped(sha256_of(source)).await?;
    hashed.map_err(|error| job_error(error, Place::Storage))
}
