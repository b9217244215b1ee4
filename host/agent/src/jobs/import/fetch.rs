//! Reading a file from a server (S73, S74).
//!
//! A server with ranges is read where the disk's map leads, in one pass with the conversion. What
//! has to be read from the first byte to the last one anyway comes to this machine first: a packed
//! file, one whose digest is expected, and any file of a server without ranges.

use std::{io, path::PathBuf, sync::Arc};

use imprint_agent_protocol::{ImportAssignment, SecretsRequest, secret_name};
use imprint_data_path::{FileSink, PackedAs, Progress, detect};
use imprint_domain::{
    secret::{SecretText, Secrets},
    size::ByteSize,
    task::Phase,
    task_error::{TaskError, TaskErrorCode, TaskErrorContext},
};
use imprint_http_client::{HttpError, HttpOptions, HttpSource, Retries, WholeObject, http};
use imprint_ports::{BlockSink, BlockSource};
use tokio_util::sync::CancellationToken;

use super::{
    Source, largest_file, note_received,
    object_error::object_error,
    open_local, other_size,
    receive::{Hasher, require},
};
use crate::{
    error::{JobError, StopReason},
    jobs::{
        copy,
        job::{Job, lease},
    },
    received,
    sync::blocking,
};

/// The attempts of a request: with the pauses in between, one to two minutes.
const ATTEMPTS: u32 = 15;
/// The bytes that are read at once of a file that comes to this machine.
const CHUNK: u64 = 8 << 20;

/// Opens the file, or brings it here.
pub(super) async fn fetch(job: &Job, assignment: &ImportAssignment) -> Result<Source, JobError> {
    let secrets = job.machine.secrets(SecretsRequest::Task { lease: lease(&job.journal) }).await?;
    let options = options(job, &secrets)?;
    from_server(job, assignment, options).await
}

/// Opens a file on a server, or brings it here.
pub(super) async fn from_server(
    job: &Job,
    assignment: &ImportAssignment,
    options: HttpOptions,
) -> Result<Source, JobError> {
    let opened = options.clone();
    let opening = blocking(move || HttpSource::open(&opened));
    let remote = match job.control.unless_stopped(opening).await?? {
        Ok(remote) => remote,
        Err(HttpError::NoRanges) => return bring_whole(job, assignment, options).await,
        Err(error) => return Err(source_error(&error)),
    };
    read_or_bring(job, assignment, Arc::new(Explained(remote))).await
}

/// Leaves a file where it is that need not be read from its beginning to its end, and brings
/// another one here.
pub(super) async fn read_or_bring(
    job: &Job,
    assignment: &ImportAssignment,
    blob: Arc<dyn BlockSource>,
) -> Result<Source, JobError> {
    let size = blob.size();
    require_size(assignment, size)?;
    if assignment.expected.is_none() && !is_packed(job, &blob).await? {
        return Ok(Source { blob, size, logical: None });
    }
    bring(job, assignment, blob).await
}

/// Returns how the server of an import is reached: its address and head fields are secrets.
pub(super) fn options(job: &Job, secrets: &Secrets) -> Result<HttpOptions, JobError> {
    let url = secrets
        .get(secret_name::URL)
        .map(SecretText::expose)
        .ok_or_else(|| JobError::failed(TaskErrorCode::Internal, "an import from a server has no address"))?;
    let mut headers = http::HeaderMap::new();
    for (name, value) in secrets.iter() {
        let Some(name) = name.strip_prefix(secret_name::HEADER) else { continue };
        let (name, value) = (name.parse::<http::HeaderName>(), value.expose().parse::<http::HeaderValue>());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            let error =
                "a field of the request's head has characters that are not allowed; import again without it";
            return Err(JobError::failed(TaskErrorCode::ImportAddress, error));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let cancel = job.control.child_token();
    let is_over: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || cancel.is_cancelled());
    Ok(HttpOptions {
        url: url.to_owned(),
        headers,
        private_networks: job.machine.settings.import_networks.clone(),
        authorities: Vec::new(),
        retries: Retries { attempts: ATTEMPTS, is_over, ..Retries::default() },
    })
}

/// Returns whether a file is packed, so that it is read from its beginning to its end.
async fn is_packed(job: &Job, blob: &Arc<dyn BlockSource>) -> Result<bool, JobError> {
    let found = detect(&job.machine.formats(), blob).await;
    let found = found.map_err(|error| copy::job_error(error, copy::Place::Machine))?;
    Ok(found.first().is_some_and(|claim| PackedAs::of_format(&claim.format).is_some()))
}

/// Copies a file to this machine, and checks its digest on the way.
async fn bring(
    job: &Job,
    assignment: &ImportAssignment,
    blob: Arc<dyn BlockSource>,
) -> Result<Source, JobError> {
    let size = blob.size();
    let mut file = Arriving::open(job, assignment, Some(size)).await?;
    let copying = blocking(move || {
        let mut buffer = vec![0; usize::try_from(CHUNK).map_err(io::Error::other)?];
        while file.at < size {
            let length = usize::try_from(CHUNK.min(size - file.at)).map_err(io::Error::other)?;
            let part = buffer.get_mut(..length).unwrap_or_default();
            blob.read_exact_at(part, file.at)?;
            file.take(part)?;
        }
        file.end()
    });
    let arrived = copying.await?.map_err(|error| read_error(job, &error))?;
    arrived.checked(assignment).await
}

/// Brings the file of a server that sends it only as a whole.
async fn bring_whole(
    job: &Job,
    assignment: &ImportAssignment,
    options: HttpOptions,
) -> Result<Source, JobError> {
    let most = largest_file(assignment);
    let opening = blocking(move || WholeObject::open(&options));
    let object = job.control.unless_stopped(opening).await??.map_err(|error| source_error(&error))?;
    if let Some(size) = object.size() {
        require_size(assignment, size)?;
    }
    let mut file = Arriving::open(job, assignment, object.size()).await?;
    let copying = blocking(move || {
        object.read(|piece| file.take(piece))?;
        file.end()
    });
    let arrived = match copying.await? {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(too_large(most.saturating_add(1), most));
        }
        arrived => arrived.map_err(|error| read_error(job, &error))?,
    };
    require_size(assignment, arrived.size)?;
    arrived.checked(assignment).await
}

/// Refuses a file of another size than was said, and one that is larger than any import.
fn require_size(assignment: &ImportAssignment, size: u64) -> Result<(), JobError> {
    if let Some(wanted) = assignment.size.filter(|wanted| wanted.bytes() != size) {
        return Err(other_size(size, wanted));
    }
    let most = largest_file(assignment);
    if size > most { Err(too_large(size, most)) } else { Ok(()) }
}

/// A file that comes to this machine, piece by piece from its beginning.
struct Arriving {
    path: PathBuf,
    sink: FileSink,
    hasher: Option<Hasher>,
    progress: Arc<Progress>,
    cancel: CancellationToken,
    /// The bytes that are there.
    at: u64,
    /// The most bytes that are taken.
    most: u64,
    /// The bytes that the machine has room for.
    room: u64,
}

impl Arriving {
    /// Creates the file, for that many bytes where their number is known.
    async fn open(job: &Job, assignment: &ImportAssignment, size: Option<u64>) -> Result<Self, JobError> {
        job.control.phase(Phase::Receiving);
        let folder = job.machine.folders.uploads();
        job.machine.require_room(&folder, size.unwrap_or(0))?;
        let room = match size {
            Some(_) => u64::MAX,
            None => job.machine.free_room(&folder)?,
        };
        note_received(job).await?;
        let path = received::file_of(&folder, job.task());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = copy::local(&folder, name)?;
        let progress = Arc::<Progress>::default();
        progress.add_total(size.unwrap_or(0));
        job.control.copying(progress.clone());
        let created = blocking(move || FileSink::create(&file.dir, &file.path)).await?;
        Ok(Self {
            path,
            sink: created.map_err(|error| copy::job_error(error, copy::Place::Machine))?,
            hasher: assignment.expected.as_ref().map(|expected| Hasher::new(expected.algorithm)),
            progress,
            cancel: job.control.child_token(),
            at: 0,
            most: largest_file(assignment),
            room,
        })
    }

    /// Writes the next piece. Blocks.
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = u64::try_from(piece.len()).map_err(io::Error::other)?;
        let end = self.at.saturating_add(length);
        if end > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if end > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.sink.write_all_at(piece, self.at)?;
        self.progress.count_done(length);
        self.at = end;
        Ok(())
    }

    fn end(self) -> io::Result<Arrived> {
        self.sink.set_size(self.at)?;
        Ok(Arrived { path: self.path, size: self.at, digest: self.hasher.map(Hasher::finish) })
    }
}

/// A file that has come to this machine.
struct Arrived {
    path: PathBuf,
    size: u64,
    /// Its digest, where one is expected.
    digest: Option<String>,
}

impl Arrived {
    /// Opens the file, unless it has another digest than is expected.
    async fn checked(self, assignment: &ImportAssignment) -> Result<Source, JobError> {
        if let (Some(expected), Some(found)) = (&assignment.expected, self.digest) {
            require(expected, &found)?;
        }
        open_local(&self.path, self.size).await
    }
}

fn read_error(job: &Job, error: &io::Error) -> JobError {
    if error.kind() == io::ErrorKind::Interrupted {
        return job.control.prefer_stop_reason(JobError::Stopped(StopReason::Cancelled));
    }
    let cause = error.get_ref();
    if let Some(port) = cause.and_then(|inner| inner.downcast_ref()) {
        return object_error(port);
    }
    match cause.and_then(|inner| inner.downcast_ref()) {
        Some(http) => source_error(http),
        None => JobError::io("write the file of an import", error),
    }
}

fn too_large(size: u64, most: u64) -> JobError {
    let context = TaskErrorContext { limit: ByteSize::new(most).ok(), ..TaskErrorContext::default() };
    let detail = format!("the file has {size} bytes, and at most {most} are imported");
    JobError::Failed(TaskError::new(TaskErrorCode::ImportSizeMismatch, detail).with(context))
}

/// Returns the failure of the server of an import.
pub(super) fn source_error(error: &HttpError) -> JobError {
    let failed = |code| JobError::failed(code, error);
    match error {
        HttpError::Url { .. }
        | HttpError::Page
        | HttpError::Redirect { .. }
        | HttpError::PrivateNetwork { .. } => failed(TaskErrorCode::ImportAddress),
        HttpError::Changed => failed(TaskErrorCode::ImportSourceChanged),
        HttpError::Status { status, .. } => {
            let context = TaskErrorContext { status: Some(*status), ..TaskErrorContext::default() };
            JobError::Failed(TaskError::new(TaskErrorCode::ImportSource, error).with(context))
        }
        HttpError::Connect { .. }
        | HttpError::Stalled { .. }
        | HttpError::ReservedPort { .. }
        | HttpError::Certificate { .. }
        | HttpError::Tls { .. }
        | HttpError::NoAuthorities
        | HttpError::Authority { .. }
        | HttpError::Authorise { .. }
        | HttpError::NoRanges
        | HttpError::Protocol { .. } => failed(TaskErrorCode::ImportSource),
    }
}

/// A source on a server, whose failures are those of an import.
struct Explained(HttpSource);

impl BlockSource for Explained {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn preferred_read(&self) -> u64 {
        self.0.preferred_read()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn unchanged(&self) -> io::Result<bool> {
        self.0.unchanged()
    }
}
