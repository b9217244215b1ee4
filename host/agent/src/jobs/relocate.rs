//! Moving an image's file: a copy, byte by byte, through the storage that has it and the one that
//! takes it. The copy is read again before it is reported; the control plane then switches the
//! image to it, and has the old file removed once nothing reads it any more.

use std::{io, sync::Arc};

use imprint_agent_protocol::{MoveImageAssignment, MoveResult};
use imprint_data_path::{DiskDigest, Progress};
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::{BlockSink, BlockSource, ByteRange, PortError, WriteRequest};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{JobError, StopReason, is_no_space},
    jobs::{
        copy::{self, Place},
        image::{invalid_digest, read_digest, require_room, size_of},
        job::Job,
        peer,
        publish::{Expected, publish},
    },
    journal::steps,
    sync::blocking,
};

/// Bytes that are read and written at once.
const CHUNK: u64 = 1 << 20;
/// The space that has to be free beyond the file's own bytes.
const RESERVED_BYTES: u64 = 16 << 20;

/// Copies the file and verifies the copy.
pub(crate) async fn run(job: &Job, assignment: &MoveImageAssignment) -> Result<MoveResult, JobError> {
    job.control.phase(Phase::Preparing);
    let from = peer::locate(job, &assignment.image, assignment.source.as_ref()).await?;
    let to = job.machine.storage(&assignment.to).await?;
    let size = assignment.size.bytes();
    require_room(to.backend.as_ref(), size.saturating_add(RESERVED_BYTES)).await?;
    let source = copy::open_locator(from.locator, job.control.child_token()).await?;
    if source.size() != size {
        return Err(damaged("the image's file has another size than was stored"));
    }
    let request = WriteRequest {
        key: assignment.key.clone(),
        upper_bound: Some(size),
        needs_random: false,
        if_absent: false,
    };
    let mut upload = to.backend.begin_upload(&request).await?;
    job.note(steps::UPLOAD, [("token", hex::encode(upload.token()))]).await?;
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    job.control.expect(size.saturating_mul(2));
    let sink = copy::open_sink(upload.target().clone(), job.control.child_token(), Place::Storage).await?;
    copy_bytes(job, source, sink, progress.clone()).await?;
    job.control.phase(Phase::Finalizing);
    job.control.check()?;
    let digest: DiskDigest = assignment
        .stored_digest
        .as_str()
        .parse()
        .map_err(|error| JobError::failed(TaskErrorCode::Internal, error))?;
    let expected = Expected { key: &assignment.key, size, digest };
    to.require_in_place().await?;
    publish(job, to.backend.as_ref(), upload.as_mut(), &expected).await?;
    // A folder that went away during the commit has taken the copy with it.
    to.require_in_place().await?;
    let locator = to.backend.open_read(&assignment.key).await?;
    let copied = copy::open_stored(locator, job.control.child_token()).await?;
    let found = read_digest(job, &copied, &progress).await?;
    if found != digest || copied.size() != size {
        return Err(damaged("the copy of the image's file is not what was stored"));
    }
    Ok(MoveResult {
        size: size_of(copied.size())?,
        stored_digest: found.to_string().parse().map_err(invalid_digest)?,
    })
}

fn damaged(detail: &str) -> JobError {
    JobError::failed(TaskErrorCode::ImageDamaged, detail)
}

async fn copy_bytes(
    job: &Job,
    source: Arc<dyn BlockSource>,
    sink: Arc<dyn BlockSink>,
    progress: Arc<Progress>,
) -> Result<(), JobError> {
    let cancel = job.control.child_token();
    let copied = blocking(move || copy_all(source.as_ref(), sink.as_ref(), &progress, &cancel)).await?;
    copied.map_err(|error| job.control.prefer_stop_reason(io_error(&error)))
}

/// Copies in ascending order, so that every target can take it. Blocks.
fn copy_all(
    source: &dyn BlockSource,
    sink: &dyn BlockSink,
    progress: &Progress,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let size = source.size();
    progress.add_total(size);
    let mut buffer = vec![0; usize::try_from(CHUNK.min(size)).map_err(io::Error::other)?];
    let mut at = 0;
    while at < size {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = CHUNK.min(size - at);
        let range = ByteRange { offset: at, length };
        let zero =
            !sink.append_only() && sink.fresh() && source.segments(range)?.iter().all(|segment| segment.zero);
        if zero {
            sink.leave_out(range)?;
        } else {
            let part = &mut buffer[..usize::try_from(length).map_err(io::Error::other)?];
            source.read_exact_at(part, at)?;
            sink.write_all_at(part, at)?;
        }
        at += length;
        progress.count_done(length);
    }
    sink.set_size(size)?;
    sink.sync()
}

fn io_error(error: &io::Error) -> JobError {
    if error.kind() == io::ErrorKind::Interrupted {
        return JobError::Stopped(StopReason::Cancelled);
    }
    if let Some(port) = PortError::of(error) {
        return port.clone().into();
    }
    if is_no_space(error) {
        return JobError::failed(TaskErrorCode::InsufficientStorage, error);
    }
    JobError::failed(TaskErrorCode::AgentIo, format!("the image's file cannot be copied: {error}"))
}
