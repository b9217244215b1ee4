//! Importing a disk (S74 to S80, D6): its file is received or fetched, looked at, and written anew.
//!
//! ```text
//!   a client's upload          a server with ranges,      a server without, or a digest to check
//!                              a customer's storage,
//!                              another Imprint
//!   file on this machine       read where it is           file on this machine
//!        \_____________________________|_______________________________/
//!                        unpacked, if it is packed
//!                        which format, which disk
//!                        every rule of the location
//!                        room for what will be written
//!                        written in the location's format, published
//! ```
//!
//! Nothing of the file is stored as it came: header bytes, slack and what lies behind the end of a
//! format stay outside.

mod disk;
mod fetch;
mod object;
mod object_error;
mod other_imprint;
mod receive;

use std::{path::Path, sync::Arc};

use imprint_agent_protocol::{ImportAssignment, ImportResult, ImportSource, ReserveRequest, ReserveResponse};
use imprint_data_path::{Disk, Progress, Written};
use imprint_domain::{
    capture_format::CaptureFormat,
    image::StoredImage,
    import::{ImportFacts, broken_rules},
    rules::stored_upper_bound,
    size::ByteSize,
    task::Phase,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_ports::{BlockSource, WriteRequest};
use tracing::{info, warn};

use self::disk::Opened;
use crate::{
    error::{CleanupError, JobError},
    jobs::{
        copy::{self, Request, Target},
        image::{invalid_digest, require_room, size_of},
        job::{Job, lease},
        publish::{Expected, publish},
        upload::JobUpload,
        watched::unless_gone,
    },
    journal::{FileJournal, steps},
    machine::{Machine, storages::Storage},
    received,
    sync::blocking,
};

/// The bytes of a file beyond the largest disk that is imported: headers and tables.
const BEYOND_DISK: u64 = 1 << 30;

/// The file of an import, wherever it is read from.
struct Source {
    blob: Arc<dyn BlockSource>,
    /// The size in bytes, as it came.
    size: u64,
    /// The logical digest that the disk has to have, where another Imprint said it.
    logical: Option<String>,
}

/// Imports a disk.
pub(crate) async fn run(job: &Job, assignment: &ImportAssignment) -> Result<ImportResult, JobError> {
    import(job, assignment).await.map_err(|error| match error {
        JobError::Failed(error) => of_source(&assignment.source, error),
        stopped @ JobError::Stopped(_) => stopped,
    })
}

/// What the data path says of the disk that it reads is about a file on a server here.
fn of_source(source: &ImportSource, error: TaskError) -> JobError {
    let code = match error.code() {
        "conflict.source-changed" => TaskErrorCode::ImportSourceChanged,
        code if code.starts_with("http.") => TaskErrorCode::ImportSource,
        _ => return JobError::Failed(error),
    };
    match source {
        ImportSource::Url | ImportSource::StorageObject { .. } | ImportSource::Imprint { .. } => {
            JobError::failed(code, error.operator_detail())
        }
        ImportSource::Upload { .. } => JobError::Failed(error),
    }
}

async fn import(job: &Job, assignment: &ImportAssignment) -> Result<ImportResult, JobError> {
    job.control.phase(Phase::Preparing);
    let storage = job.machine.storage(&assignment.image.storage).await?;
    storage.require_writable()?;
    let source = match &assignment.source {
        ImportSource::Upload { part_size, idle_limit_s } => {
            receive::receive(job, assignment, (part_size.bytes(), *idle_limit_s)).await?
        }
        ImportSource::Url => fetch::fetch(job, assignment).await?,
        ImportSource::StorageObject { storage, key } => object::read(job, assignment, (storage, key)).await?,
        ImportSource::Imprint { image } => other_imprint::read(job, assignment, *image).await?,
    };
    let opened = disk::open(job, assignment, source.blob).await?;
    refuse(assignment, &opened.facts)?;
    let Opened { facts, disk, findings } = opened;
    let Some(disk) = disk else {
        let detail = "the disk refers to further files, which the location's rules do not refuse";
        return Err(JobError::failed(TaskErrorCode::Internal, detail));
    };
    reserve(job, assignment, &disk).await?;
    let written = write(job, assignment, &storage, (&disk, source.logical.as_deref())).await?;
    Ok(ImportResult {
        image: StoredImage {
            size: size_of(written.file_size)?,
            virtual_size: size_of(written.virtual_size)?,
            format: assignment.image.format,
            logical_digest: written.logical.to_string().parse().map_err(invalid_digest)?,
            stored_digest: written.stored.to_string().parse().map_err(invalid_digest)?,
            consistency: None,
        },
        file_size: size_of(source.size)?,
        format: facts.format,
        packing: facts.packing,
        findings,
    })
}

/// Refuses a file that breaks rules of the location, and names all of them.
fn refuse(assignment: &ImportAssignment, facts: &ImportFacts) -> Result<(), JobError> {
    let broken = broken_rules(&assignment.policy, facts);
    if broken.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = broken.iter().map(|broken| broken.rule.as_str()).collect();
    let error = TaskError::new(TaskErrorCode::ImportRefused, format!("broken rules: {}", names.join(", ")));
    let context = TaskErrorContext { broken_rules: broken, ..TaskErrorContext::default() };
    Err(JobError::Failed(error.with(context)))
}

/// The most bytes that the file of an import may have, packed or not.
fn largest_file(assignment: &ImportAssignment) -> u64 {
    assignment.policy.largest_disk.bytes().saturating_add(BEYOND_DISK)
}

/// Reserves what the image takes at most, now that its content is known.
async fn reserve(job: &Job, assignment: &ImportAssignment, disk: &Disk) -> Result<(), JobError> {
    let content = size_of(disk.map().stored_bytes())?;
    let virtual_size = size_of(disk.size())?;
    let largest = CaptureFormat::of(assignment.image.format)
        .map_or(virtual_size, |format| format.largest(content, virtual_size));
    let request = ReserveRequest { lease: lease(&job.journal), bytes: stored_upper_bound(largest) };
    match job.control.unless_stopped(job.machine.reserve(request)).await?? {
        ReserveResponse::Granted => Ok(()),
        ReserveResponse::Refused { error } => Err(JobError::Failed(error)),
    }
}

/// Writes the disk to the storage in the format of the image, and makes it visible.
async fn write(
    job: &Job,
    assignment: &ImportAssignment,
    storage: &Storage,
    (disk, logical): (&Arc<Disk>, Option<&str>),
) -> Result<Written, JobError> {
    let content = disk.map().stored_bytes();
    require_room(storage.backend.as_ref(), stored_upper_bound(size_of(content)?).bytes()).await?;
    let request = WriteRequest {
        key: assignment.image.key.clone(),
        upper_bound: Some(
            stored_upper_bound(size_of(disk.size())?).bytes().saturating_add(disk.size() / 4096),
        ),
        needs_random: false,
        if_absent: false,
    };
    let place = &assignment.image.storage;
    let mut upload = JobUpload::open(job, (place, storage), &request).await?;
    match transfer(job, assignment, storage, (disk, logical), &mut upload).await {
        Err(error) if upload.is_stale(&error) => {
            warn!(key = request.key, %error, "what an interrupted import left is of no use; it starts anew");
            upload = upload.start_over(job, (place, storage), &request).await?;
            transfer(job, assignment, storage, (disk, logical), &mut upload).await
        }
        written => written,
    }
}

async fn transfer(
    job: &Job,
    assignment: &ImportAssignment,
    storage: &Storage,
    (disk, logical): (&Arc<Disk>, Option<&str>),
    upload: &mut JobUpload,
) -> Result<Written, JobError> {
    job.control.phase(Phase::Copying);
    let format = job.machine.format(assignment.image.format.as_str())?;
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    let cancel = job.control.child_token();
    let writing = copy::write(Request {
        disk,
        format: format.as_ref(),
        target: Target::Upload(upload.upload.target().clone(), Some(upload.parts())),
        compression: assignment.compression,
        grow_to: None,
        progress,
        cancel: cancel.clone(),
    });
    let written = unless_gone(Box::pin(writing), storage.until_moved(), cancel).await;
    let written = written.map_err(|error| job.control.prefer_stop_reason(error))?;
    let found = written.logical.to_string();
    if let Some(wanted) = logical.filter(|wanted| *wanted != found) {
        let detail = format!("the disk has {found}, and the image at the other Imprint has {wanted}");
        return Err(JobError::failed(TaskErrorCode::ImportDigestMismatch, detail));
    }
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let expected = Expected { key: &assignment.image.key, size: written.file_size, digest: written.stored };
    storage.require_in_place().await?;
    publish(job, storage.backend.as_ref(), upload.upload.as_mut(), &expected).await?;
    storage.require_in_place().await?;
    Ok(written)
}

/// Removes the file that was received or fetched, unless another attempt goes on with it.
pub(crate) fn clean_up(
    machine: &Machine,
    journal: &FileJournal,
    another_may_follow: bool,
) -> Result<(), CleanupError> {
    if journal.last(steps::RECEIVING).is_none() {
        return Ok(());
    }
    let (folder, task) = (machine.folders.uploads(), lease(journal).task_id);
    if another_may_follow && received::durable_bytes(&folder, task) > 0 {
        return Ok(());
    }
    info!(%task, "the file of the import is removed");
    Ok(received::remove(&folder, task)?)
}

/// Notes how much of the file is there, so that an attempt that gets further does not count.
async fn note_received(job: &Job) -> Result<(), JobError> {
    let (folder, task) = (job.machine.folders.uploads(), job.task());
    let known = blocking(move || received::durable_bytes(&folder, task)).await?;
    job.note(steps::RECEIVING, [("known", known.to_string())]).await
}

/// Returns whether an interrupted import has received bytes that its next attempt need not.
pub(crate) fn has_advanced(machine: &Machine, journal: &FileJournal) -> bool {
    let Some(note) = journal.last(steps::RECEIVING) else { return false };
    let before: u64 = note.get("known").and_then(|text| text.parse().ok()).unwrap_or(0);
    received::durable_bytes(&machine.folders.uploads(), lease(journal).task_id) > before
}

/// Opens a file of this machine as the source of an import.
async fn open_local(path: &Path, size: u64) -> Result<Source, JobError> {
    let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name());
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    let file = copy::local(folder, name)?;
    let source = blocking(move || imprint_data_path::FileSource::open(&file.dir, &file.path)).await?;
    let blob = source.map_err(|error| copy::job_error(error, copy::Place::Machine))?;
    Ok(Source { blob: Arc::new(blob), size, logical: None })
}

/// Returns the error of a file that is not as large as was said.
fn other_size(found: u64, wanted: ByteSize) -> JobError {
    let detail = format!("the file has {found} bytes, and {} were announced", wanted.bytes());
    JobError::failed(TaskErrorCode::ImportSizeMismatch, detail)
}
