//! Registering an ISO: its file is checked to be the complete image of a CD, and read.

use std::{io, sync::Arc};

use imprint_agent_protocol::{IsoResult, RegisterIsoAssignment};
use imprint_data_path::Progress;
use imprint_domain::{
    iso::{StoredIso, VOLUME_BYTES, VOLUME_OFFSET, inspect},
    task::Phase,
    task_error::TaskErrorCode,
};
use imprint_ports::{BlockSource, PortError};

use crate::{
    error::JobError,
    jobs::{
        copy,
        image::{invalid_digest, read_digest, size_of},
        job::Job,
    },
    sync::blocking,
};

/// Checks the file and returns its size, its digest and the label of its volume.
pub(crate) async fn register(job: &Job, assignment: &RegisterIsoAssignment) -> Result<IsoResult, JobError> {
    job.control.phase(Phase::Preparing);
    let iso = &assignment.iso;
    let storage = job.machine.storage(&iso.storage).await?.backend;
    let source = copy::open_locator(storage.open_read(&iso.key).await?, job.control.child_token()).await?;
    let size = source.size();
    let descriptors = blocking(move || descriptors(source.as_ref())).await?;
    let descriptors = descriptors.map_err(|error| match PortError::of(&error) {
        Some(port) => port.clone().into(),
        None => JobError::io("read the ISO", &error),
    })?;
    let volume = inspect(&descriptors, size)
        .map_err(|error| JobError::failed(TaskErrorCode::IsoInvalid, format!("`{}`: {error}", iso.key)))?;
    let file = copy::open_stored(storage.open_read(&iso.key).await?, job.control.child_token()).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let digest = read_digest(job, &file, &progress).await?;
    let digest = digest.to_string().parse().map_err(invalid_digest)?;
    Ok(IsoResult { stored: StoredIso { size: size_of(size)?, digest, label: volume.label } })
}

/// Reads the descriptors at the start of the volume; of a file that ends before, what there is.
/// Blocks.
fn descriptors(source: &dyn BlockSource) -> io::Result<Vec<u8>> {
    let length = source.size().saturating_sub(VOLUME_OFFSET).min(VOLUME_BYTES);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    if !bytes.is_empty() {
        source.read_exact_at(&mut bytes, VOLUME_OFFSET)?;
    }
    Ok(bytes)
}
