//! The storage of an image's owner as the target of an export.

use std::sync::Arc;

use imprint_agent_protocol::{ExportImageAssignment, SecretsRequest};
use imprint_data_path::{Disk, Progress};
use imprint_domain::task::Phase;
use imprint_ports::{ErrorClass, WriteTarget};
use tracing::warn;

use super::{file, request, require_digest, sink::Made};
use crate::{
    error::{CleanupError, JobError},
    jobs::{
        copy::{self, Place},
        job::{Job, lease},
        peer::ImageFile,
        publish::{Expected, publish},
        watched::unless_gone,
    },
    journal::{FileJournal, steps},
    machine::Machine,
};

/// Writes the file to the owner's storage.
pub(super) async fn write(
    job: &Job,
    assignment: &ExportImageAssignment,
    (from, disk): (&ImageFile, &Arc<Disk>),
) -> Result<Made, JobError> {
    let secrets = job.machine.secrets(SecretsRequest::Task { lease: lease(&job.journal) }).await?;
    let to = job.machine.open_storage(&assignment.to, secrets).await?;
    let mut upload = to.begin_upload(&request(assignment, disk.size())?).await?;
    job.note(steps::UPLOAD, [("token", hex::encode(upload.token()))]).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel = job.control.child_token();
    let target = upload.target().clone();
    let is_file = matches!(target, WriteTarget::File(_));
    let sink = copy::open_sink(target, cancel.clone(), Place::Storage, None).await?;
    let writing = file::write(job, assignment, disk, (sink, is_file), (progress, cancel.clone()));
    let made = unless_gone(Box::pin(writing), from.until_silent(), cancel).await;
    let mut made = made.map_err(|error| job.control.prefer_stop_reason(error))?;
    require_digest(assignment, made.logical)?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let expected = Expected { key: &assignment.key, size: made.size, digest: made.stored };
    publish(job, to.as_ref(), upload.as_mut(), &expected).await?;
    if made.sha256.is_none() {
        made.sha256 = Some(file::sha256(job, to.as_ref(), &assignment.key).await?);
    }
    Ok(made)
}

/// Removes what an export that did not succeed has left in the storage of the image's owner. Its
/// secrets are gone once the task is over: then the parts stay, which no listing shows as objects.
pub(crate) async fn clean_up(
    machine: &Machine,
    journal: &FileJournal,
    assignment: &ExportImageAssignment,
) -> Result<(), CleanupError> {
    let noted = |step| journal.last(step).is_some();
    if !assignment.is_destination || noted(steps::COMMITTED) {
        return Ok(());
    }
    let Some(note) = journal.last(steps::UPLOAD) else { return Ok(()) };
    let token = note.get("token").and_then(|text| hex::decode(text).ok());
    let token = token.ok_or(CleanupError::Journal("it has no token of the upload"))?;
    let removing = async {
        let secrets = machine.secrets(SecretsRequest::Task { lease: lease(journal) }).await?;
        let storage = machine.open_storage(&assignment.to, secrets).await?;
        storage.cleanup(&token).await?;
        if !noted(steps::COMMITTING) {
            return Ok(());
        }
        match storage.delete(&assignment.key).await {
            Err(error) if error.class != ErrorClass::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    if let Err(error) = removing.await {
        warn!(code = error.code, "what an export left at its destination could not be removed");
    }
    Ok(())
}
