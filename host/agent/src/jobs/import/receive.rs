//! Receiving a file that a client uploads, through the agent's object server.

use std::{io, sync::Arc, time::Duration};

use imprint_agent_protocol::{DigestAlgorithm, FileDigest, ImportAssignment};
use imprint_data_path::Progress;
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::BlockSource;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Source, note_received, open_local, other_size};
use crate::{
    error::{JobError, StopReason},
    jobs::job::Job,
    received::{self, Received},
    sync::blocking,
};

/// The bytes that are hashed at once.
const CHUNK: u64 = 4 << 20;

/// Receives the file, or the rest of it.
pub(super) async fn receive(
    job: &Job,
    assignment: &ImportAssignment,
    (part_size, idle_limit_s): (u64, u64),
) -> Result<Source, JobError> {
    let size = assignment
        .size
        .ok_or_else(|| JobError::failed(TaskErrorCode::Internal, "an upload has no announced size"))?;
    job.control.phase(Phase::Receiving);
    let (folder, task, bytes) = (job.machine.folders.uploads(), job.task(), size.bytes());
    job.machine.require_room(&folder, bytes.saturating_sub(received_already(job).await?))?;
    note_received(job).await?;
    let of = folder.clone();
    let file = blocking(move || Received::open(&of, task, bytes, part_size)).await?;
    let file = Arc::new(file.map_err(|error| JobError::io("allocate the room of an upload", &error))?);
    let progress = Arc::<Progress>::default();
    progress.add_total(bytes);
    job.control.copying(progress.clone());
    info!(%task, size = bytes, there = file.durable(), "a client may upload now");
    let offered = job.machine.receivers.offer(task, file.clone());
    let counted = std::sync::atomic::AtomicU64::new(0);
    let arrived = |received: u64| {
        let before = counted.swap(received, std::sync::atomic::Ordering::Relaxed);
        progress.count_done(received.saturating_sub(before));
    };
    let idle = Duration::from_secs(idle_limit_s);
    let whole = job.control.unless_stopped(file.complete(idle, arrived)).await;
    if !matches!(whole, Ok(true)) {
        // What has arrived counts for the next attempt, where one follows.
        drop(offered);
        let of = file.clone();
        blocking(move || of.sync()).await?.map_err(|error| JobError::io("write an upload", &error))?;
    }
    if !whole? {
        let detail = format!("no byte came for {idle_limit_s} s");
        return Err(JobError::failed(TaskErrorCode::UploadExpired, detail));
    }
    let of = file.clone();
    blocking(move || of.sync()).await?.map_err(|error| JobError::io("write an upload", &error))?;
    let source = open_local(&received::file_of(&folder, task), bytes).await?;
    if source.blob.size() != bytes {
        return Err(other_size(source.blob.size(), size));
    }
    if let Some(expected) = &assignment.expected {
        verify(job, source.blob.clone(), expected).await?;
    }
    Ok(source)
}

async fn received_already(job: &Job) -> Result<u64, JobError> {
    let (folder, task) = (job.machine.folders.uploads(), job.task());
    // The room of a file that is there is allocated already.
    blocking(move || std::fs::metadata(received::file_of(&folder, task)).map_or(0, |found| found.len())).await
}

/// Reads a file, and refuses it where it does not have the expected digest.
pub(super) async fn verify(
    job: &Job,
    blob: Arc<dyn BlockSource>,
    expected: &FileDigest,
) -> Result<(), JobError> {
    let (algorithm, cancel) = (expected.algorithm, job.control.child_token());
    let found = blocking(move || hash(blob.as_ref(), algorithm, &cancel)).await?;
    let found = found.map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return job.control.prefer_stop_reason(JobError::Stopped(StopReason::Cancelled));
        }
        JobError::io("read an imported file", &error)
    })?;
    require(expected, &found)
}

/// Refuses another digest than the expected one.
pub(super) fn require(expected: &FileDigest, found: &str) -> Result<(), JobError> {
    if expected.hex == found {
        return Ok(());
    }
    let detail = format!("the file has {}:{found}, and {expected} was expected", expected.algorithm.as_str());
    Err(JobError::failed(TaskErrorCode::ImportDigestMismatch, detail))
}

/// A digest that is computed while bytes pass.
pub(super) enum Hasher {
    Md5(Box<Md5>),
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(super) fn new(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Md5 => Self::Md5(Box::default()),
            DigestAlgorithm::Sha256 => Self::Sha256(Box::default()),
            DigestAlgorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest in lower-case hexadecimal digits.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Md5(hasher) => hex::encode(hasher.finalize()),
            Self::Sha256(hasher) => hex::encode(hasher.finalize()),
            Self::Sha512(hasher) => hex::encode(hasher.finalize()),
        }
    }
}

fn hash(
    blob: &dyn BlockSource,
    algorithm: DigestAlgorithm,
    cancel: &CancellationToken,
) -> io::Result<String> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; usize::try_from(CHUNK).map_err(io::Error::other)?];
    let mut at = 0;
    while at < blob.size() {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = CHUNK.min(blob.size() - at);
        let part = buffer.get_mut(..usize::try_from(length).map_err(io::Error::other)?).unwrap_or_default();
        blob.read_exact_at(part, at)?;
        hasher.update(part);
        at += length;
    }
    Ok(hasher.finish())
}
