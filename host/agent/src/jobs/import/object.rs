//! Reading an object of a storage of the customer's own (S76, S135): by ranges, as a file on a
//! server, through the storage's plugin. Large objects of Swift are one file there.

use std::sync::Arc;

use imprint_agent_protocol::{ImportAssignment, SecretsRequest, StorageRef};
use imprint_domain::task_error::TaskErrorCode;
use imprint_http_client::PrivateNetworks;
use imprint_ports::{BlockSource, ReadLocator, RemoteObject};

use super::{Source, fetch::read_or_bring, object_error::object_error};
use crate::{
    error::JobError,
    jobs::job::{Job, lease},
};

/// The setting by which a storage says that it is in a private network.
const PRIVATE_NETWORKS: &str = "private-networks";

/// Opens the object, or brings it here.
pub(super) async fn read(
    job: &Job,
    assignment: &ImportAssignment,
    (storage, key): (&StorageRef, &str),
) -> Result<Source, JobError> {
    let is_private = storage.settings.get(PRIVATE_NETWORKS).is_some_and(|value| value == "true");
    if is_private && job.machine.settings.import_networks != PrivateNetworks::All {
        let detail = "the storage is said to be in a private network, which the agent's settings do not permit; leave \
                      `private-networks` out";
        return Err(JobError::failed(TaskErrorCode::ImportAddress, detail));
    }
    let object = job.control.unless_stopped(open(job, storage, key)).await??;
    let opening = object.open(job.control.child_token());
    let blob = job.control.unless_stopped(opening).await?;
    let blob: Arc<dyn BlockSource> = blob.map_err(|error| object_error(&error))?;
    read_or_bring(job, assignment, blob).await
}

async fn open(job: &Job, storage: &StorageRef, key: &str) -> Result<Arc<dyn RemoteObject>, JobError> {
    let secrets = job.machine.secrets(SecretsRequest::Task { lease: lease(&job.journal) }).await?;
    let opened = job.machine.open_storage(storage, secrets).await;
    let opened = opened.map_err(|error| object_error(&error))?;
    match opened.open_read(key).await.map_err(|error| object_error(&error))? {
        ReadLocator::Remote(object) => Ok(object),
        ReadLocator::File(_) => {
            Err(JobError::failed(TaskErrorCode::Internal, "the storage of a customer has a folder here"))
        }
    }
}
