//! Uploads of jobs: begun once for a task, and continued by its later attempts.
//!
//! What an attempt has sent is in a log ([`crate::uploads`]). The next attempt resumes the upload
//! by its token, if the storage still knows it, and sends what is missing: the rest of a file that
//! cannot have changed, or the parts of a disk that have.

use std::sync::Arc;

use imprint_agent_protocol::StorageRef;
use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::{BlockSink, ErrorClass, PartLog, Upload, WriteRequest, WriteTarget};
use tracing::{info, warn};

use crate::{
    error::JobError,
    jobs::{
        copy::{self, Place},
        job::Job,
    },
    journal::steps,
    machine::storages::Storage,
    sync::blocking,
    uploads::{UploadHeader, UploadLog},
};

/// An upload of a job, and its log.
pub(crate) struct JobUpload {
    /// The plugin's side of the upload.
    pub(crate) upload: Box<dyn Upload>,
    log: Arc<UploadLog>,
    resumed: bool,
}

impl JobUpload {
    /// Continues the upload of an earlier attempt, or begins one; its token is in the journal when
    /// this returns.
    pub(crate) async fn open(
        job: &Job,
        (place, storage): (&StorageRef, &Storage),
        request: &WriteRequest,
    ) -> Result<Self, JobError> {
        match Self::resume(job, (place, storage), request).await? {
            Some(resumed) => Ok(resumed),
            None => Self::begin(job, (place, storage), request).await,
        }
    }

    async fn begin(
        job: &Job,
        (place, storage): (&StorageRef, &Storage),
        request: &WriteRequest,
    ) -> Result<Self, JobError> {
        let upload = storage.backend.begin_upload(request).await?;
        let token = upload.token();
        job.note(steps::UPLOAD, [("token", hex::encode(token))]).await?;
        let header = UploadHeader::new(job.task(), place, &request.key, token);
        let folder = job.machine.folders.uploads();
        let log = blocking(move || UploadLog::create(&folder, header)).await?;
        let log = log.map_err(|error| JobError::io("write the log of the upload", &error))?;
        Ok(Self { upload, log: Arc::new(log), resumed: false })
    }

    /// Returns the upload of an earlier attempt; `None` where there is none, or none that can be
    /// continued. That one is removed.
    async fn resume(
        job: &Job,
        (place, storage): (&StorageRef, &Storage),
        request: &WriteRequest,
    ) -> Result<Option<Self>, JobError> {
        let (folder, task) = (job.machine.folders.uploads(), job.task());
        let found = match blocking(move || UploadLog::find(&folder, task)).await? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(problem) => {
                warn!(%problem, "the log of an earlier upload cannot be read; the upload starts anew");
                return Ok(None);
            }
        };
        let header = found.header();
        let token = header.token().filter(|_| header.key == request.key && header.storage.id == place.id);
        let Some(token) = token else {
            discard(job, &found).await?;
            return Ok(None);
        };
        job.note(steps::UPLOAD, [("token", hex::encode(&token)), ("known", found.known().len().to_string())])
            .await?;
        let resumed = match storage.backend.resume_upload(&request.key, &token).await {
            Ok(upload) => {
                let target = upload.target().clone();
                // Its file has got its name where the object is visible.
                (found.is_committing() || is_there(target).await?).then_some(upload)
            }
            Err(error) if error.class == ErrorClass::Transient => return Err(error.into()),
            Err(error) => {
                warn!(key = request.key, %error, "the storage does not continue the upload");
                None
            }
        };
        let Some(upload) = resumed else {
            discard(job, &found).await?;
            return Ok(None);
        };
        info!(
            key = request.key,
            parts = found.known().len(),
            "the upload continues where it was interrupted"
        );
        Ok(Some(Self { upload, log: Arc::new(found), resumed: true }))
    }

    /// Begins the upload anew, after a storage could not continue it.
    pub(crate) async fn start_over(
        self,
        job: &Job,
        to: (&StorageRef, &Storage),
        request: &WriteRequest,
    ) -> Result<Self, JobError> {
        drop(self.upload);
        discard(job, &self.log).await?;
        Self::begin(job, to, request).await
    }

    /// Returns whether an error may be due to what is left of an earlier attempt.
    pub(crate) fn is_stale(&self, error: &JobError) -> bool {
        match error {
            JobError::Failed(error) => {
                self.resumed && !error.is_transient() && !error.is(TaskErrorCode::InsufficientStorage)
            }
            JobError::Stopped(_) => false,
        }
    }

    /// Returns what the storage has, and takes what it gets.
    pub(crate) fn parts(&self) -> Arc<dyn PartLog> {
        self.log.clone()
    }

    /// Returns whether the object of an earlier attempt may be visible already.
    pub(crate) fn may_be_visible(&self) -> bool {
        self.log.is_committing()
    }

    /// Opens the upload for writing.
    pub(crate) async fn sink(&mut self, job: &Job) -> Result<Arc<dyn BlockSink>, JobError> {
        let target = self.upload.target().clone();
        copy::open_sink(target, job.control.child_token(), Place::Storage, Some(self.parts())).await
    }

    /// Writes down that everything is sent.
    pub(crate) async fn committing(&mut self) -> Result<(), JobError> {
        let log = self.log.clone();
        blocking(move || log.committing())
            .await?
            .map_err(|error| JobError::io("write the log of the upload", &error))
    }
}

/// Returns whether the file of an upload is still there.
async fn is_there(target: WriteTarget) -> Result<bool, JobError> {
    match target {
        WriteTarget::File(file) => blocking(move || file.dir.exists(&file.path)).await,
        WriteTarget::Remote(_) => Ok(true),
    }
}

/// Removes an upload that is not continued, and its log.
async fn discard(job: &Job, log: &UploadLog) -> Result<(), JobError> {
    let header = log.header();
    info!(key = header.key, "an interrupted upload cannot be continued; it is removed");
    let storage = job.machine.storage(&header.storage).await?;
    if let Some(token) = header.token() {
        storage.backend.cleanup(&token).await?;
    }
    let (folder, task) = (job.machine.folders.uploads(), header.task);
    blocking(move || crate::uploads::remove(&folder, task))
        .await?
        .map_err(|error| JobError::io("remove the log of an upload", &error))
}
