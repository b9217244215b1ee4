//! The connection test of an image storage: it is used in each way that images use one.
//!
//! The test object is written, found, read and deleted through the same calls as an image, so a
//! storage that passes can hold images. It lies under a key that the product keeps for itself
//! ([`TEST_PREFIX`]).

mod object;
mod report;

use std::sync::Arc;

use imprint_agent_protocol::{SecretsRequest, TestStorageAssignment};
use imprint_domain::{
    id::TaskId,
    storage::StorageRole,
    storage_test::{StorageTest, TEST_PREFIX, TestStep},
    task::Phase,
};
use imprint_ports::{ErrorClass, PortError, Secrets, StorageBackend};
use tracing::warn;

use self::report::{Answer, Report};
use crate::{
    error::{CleanupError, JobError},
    jobs::job::{Job, lease},
    journal::{FileJournal, steps},
    machine::Machine,
};

/// The steps that need an object in the storage.
const OF_OBJECT: [TestStep; 6] =
    [TestStep::Write, TestStep::Stat, TestStep::List, TestStep::Read, TestStep::Delete, TestStep::Gone];
/// The number of objects of a listing that only shows that listing works.
const SOME_OBJECTS: u32 = 10;

/// Returns the key of a test's object.
pub(crate) fn key_of(task: TaskId) -> String {
    format!("{TEST_PREFIX}{}", task.uuid())
}

/// Tests a storage. It fails only when the test itself cannot be carried out: what is wrong with
/// the storage is in the result.
pub(crate) async fn run(job: &Job, assignment: &TestStorageAssignment) -> Result<StorageTest, JobError> {
    job.control.phase(Phase::Preparing);
    let secrets = if assignment.has_secrets {
        job.machine.secrets(SecretsRequest::Task { lease: lease(&job.journal) }).await?
    } else {
        Secrets::new()
    };
    let mut report = Report::new(job, secrets.clone());
    if let Some(storage) = opened(job, assignment, &secrets, &mut report).await? {
        job.control.phase(Phase::Copying);
        report.step(TestStep::Space, space(storage.as_ref())).await?;
        match (assignment.role, assignment.read_only) {
            (StorageRole::Customer, false) => object::try_all(job, storage.as_ref(), &mut report).await?,
            (StorageRole::Customer, true) => {
                let reason = "the storage takes no new images in its state";
                read_only(reason, storage.as_ref(), &mut report).await?;
            }
            (role @ (StorageRole::Stock | StorageRole::Iso), _) => {
                let reason = format!("storages with the role `{role}` are only read");
                read_only(&reason, storage.as_ref(), &mut report).await?;
            }
        }
    }
    Ok(report.finish())
}

/// Checks the settings and opens the storage; `None` when that failed.
async fn opened(
    job: &Job,
    assignment: &TestStorageAssignment,
    secrets: &Secrets,
    report: &mut Report<'_>,
) -> Result<Option<Arc<dyn StorageBackend>>, JobError> {
    let (machine, storage) = (&job.machine, &assignment.storage);
    let checked = async {
        match machine.check_storage(storage, secrets.clone()).await? {
            None => Ok(Answer::skipped("the plugin has no check of its own")),
            Some(findings) => report::of_findings(&findings),
        }
    };
    if report.step(TestStep::Settings, checked).await?.is_none() {
        report.skip_rest();
        return Ok(None);
    }
    let opening = async {
        let storage = machine.open_storage(storage, secrets.clone()).await?;
        Ok(Answer::with(storage, None))
    };
    let opened = report.step(TestStep::Open, opening).await?;
    if opened.is_none() {
        report.skip_rest();
    }
    Ok(opened.flatten())
}

async fn space(storage: &dyn StorageBackend) -> Result<Answer<()>, PortError> {
    let detail = match storage.space().await? {
        Some(space) => format!("{} of {} bytes are free", space.available, space.total),
        None => "the storage does not say how much room it has".to_owned(),
    };
    Ok(Answer::with((), Some(detail)))
}

/// Tests a storage that the product only reads.
async fn read_only(
    reason: &str,
    storage: &dyn StorageBackend,
    report: &mut Report<'_>,
) -> Result<(), JobError> {
    report.skip(TestStep::Write, reason);
    let listing = async {
        let found = storage.list("", None, SOME_OBJECTS).await?;
        let detail = match found.resume {
            Some(_) => format!("more than {} objects", found.objects.len()),
            None => format!("{} objects", found.objects.len()),
        };
        Ok(Answer::with((), Some(detail)))
    };
    report.step(TestStep::List, listing).await?;
    for step in OF_OBJECT {
        report.skip(step, "nothing was written");
    }
    Ok(())
}

/// Removes the object of a test that did not end, or whose deletion failed. The secrets of a test
/// are gone once its lease is: then the object stays, under a key that no image has.
pub(crate) async fn clean_up(
    machine: &Machine,
    journal: &FileJournal,
    assignment: &TestStorageAssignment,
) -> Result<(), CleanupError> {
    let Some(note) = journal.last(steps::UPLOAD) else { return Ok(()) };
    if journal.last(steps::REMOVED).is_some() {
        return Ok(());
    }
    let token = note.get("token").and_then(|text| hex::decode(text).ok());
    let token = token.ok_or(CleanupError::Journal("it has no token of the upload"))?;
    let key = key_of(journal.header().assignment.task_id);
    let removing = async {
        let secrets = if assignment.has_secrets {
            machine.secrets(SecretsRequest::Task { lease: lease(journal) }).await?
        } else {
            Secrets::new()
        };
        let storage = machine.open_storage(&assignment.storage, secrets).await?;
        storage.cleanup(&token).await?;
        match storage.delete(&key).await {
            Err(error) if error.class != ErrorClass::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    if let Err(error) = removing.await {
        warn!(key, code = error.code, "the object of a connection test could not be removed");
    }
    Ok(())
}
