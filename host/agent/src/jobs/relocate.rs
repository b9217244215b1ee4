//! Moving an image's file: a copy, byte by byte, through the storage that has it and the one that
//! takes it. The copy is read again before it is reported; the control plane then switches the
//! image to it, and has the old file removed once nothing reads it any more.
//!
//! An attempt that was interrupted leaves what it has copied to the next one: the file of an image
//! does not change.

use std::{
    io, iter,
    sync::{Arc, mpsc},
};

use imprint_agent_protocol::{MoveImageAssignment, MoveResult};
use imprint_data_path::{DiskDigest, Progress};
use imprint_domain::{task::Phase, task_error::TaskErrorCode};
use imprint_ports::{
    BlockSink, BlockSource, ByteRange, PartLog, PortError, SentPart, WriteRequest, WriteTarget,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    error::{JobError, StopReason, is_no_space},
    jobs::{
        copy,
        image::{invalid_digest, read_digest, require_room, size_of},
        job::Job,
        peer,
        publish::{Expected, publish},
        upload::JobUpload,
    },
    journal::steps,
    machine::storages::Storage,
    sync::blocking,
};

/// Bytes that are read and written at once.
const CHUNK: u64 = 1 << 20;
/// The bytes of a file after which is written down what is durable: what a killed agent copies
/// again, at most twice. A multiple of [`CHUNK`].
const STEP: u64 = 16 << 20;
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
    let mut upload = JobUpload::open(job, (&assignment.to, &to), &request).await?;
    let copied = match copy_file(job, assignment, source.clone(), &to, &mut upload).await {
        Err(error) if upload.is_stale(&error) => {
            warn!(key = request.key, %error, "what an interrupted move left is of no use; it starts anew");
            upload = upload.start_over(job, (&assignment.to, &to), &request).await?;
            copy_file(job, assignment, source, &to, &mut upload).await?
        }
        copied => copied?,
    };
    Ok(MoveResult {
        size: size_of(size)?,
        stored_digest: copied.to_string().parse().map_err(invalid_digest)?,
    })
}

/// Copies the file, makes the copy visible, and reads it again; returns its digest.
async fn copy_file(
    job: &Job,
    assignment: &MoveImageAssignment,
    source: Arc<dyn BlockSource>,
    to: &Storage,
    upload: &mut JobUpload,
) -> Result<DiskDigest, JobError> {
    let size = source.size();
    job.control.phase(Phase::Copying);
    let progress = Arc::<Progress>::default();
    job.control.copying(progress.clone());
    job.control.expect(size.saturating_mul(2));
    let digest: DiskDigest = assignment
        .stored_digest
        .as_str()
        .parse()
        .map_err(|error| JobError::failed(TaskErrorCode::Internal, error))?;
    if upload.may_be_visible() && to.backend.stat(&assignment.key).await.is_ok_and(|o| o.size == size) {
        // An earlier attempt ended while it read the copy. What turns out to be wrong is removed.
        job.note(steps::COMMITTING, []).await?;
        job.note(steps::COMMITTED, []).await?;
        progress.add_total(size);
        progress.count_done(size);
    } else {
        copy_bytes(job, source, upload, progress.clone()).await?;
        job.control.check()?;
        let expected = Expected { key: &assignment.key, size, digest };
        to.require_in_place().await?;
        upload.committing().await?;
        job.control.phase(Phase::Finalizing);
        publish(job, to.backend.as_ref(), upload.upload.as_mut(), &expected).await?;
    }
    job.control.phase(Phase::Finalizing);
    // A folder that went away during the commit has taken the copy with it.
    to.require_in_place().await?;
    let locator = to.backend.open_read(&assignment.key).await?;
    let copied = copy::open_stored(locator, job.control.child_token()).await?;
    let found = read_digest(job, &copied, &progress).await?;
    if found != digest || copied.size() != size {
        return Err(damaged("the copy of the image's file is not what was stored"));
    }
    Ok(found)
}

fn damaged(detail: &str) -> JobError {
    JobError::failed(TaskErrorCode::ImageDamaged, detail)
}

async fn copy_bytes(
    job: &Job,
    source: Arc<dyn BlockSource>,
    upload: &mut JobUpload,
    progress: Arc<Progress>,
) -> Result<(), JobError> {
    let sink = upload.sink(job).await?;
    // The others write down by themselves what they have sent.
    let log = matches!(upload.upload.target(), WriteTarget::File(_)).then(|| upload.parts());
    let cancel = job.control.child_token();
    let copied =
        blocking(move || copy_all(source.as_ref(), sink.as_ref(), log.as_deref(), &progress, &cancel));
    copied.await?.map_err(|error| job.control.prefer_stop_reason(io_error(&error)))
}

/// Copies in ascending order, so that every target can take it, what an earlier attempt has not.
/// With a log, what is durable is written down every [`STEP`]. Blocks.
fn copy_all(
    source: &dyn BlockSource,
    sink: &dyn BlockSink,
    log: Option<&dyn PartLog>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> io::Result<()> {
    std::thread::scope(|scope| {
        let (written, noted) = mpsc::channel();
        if let Some(log) = log {
            scope.spawn(move || write_down(sink, log, &noted));
        }
        copy_ranges(source, sink, &written, progress, cancel)
    })?;
    sink.set_size(source.size())?;
    sink.sync()
}

/// Copies, and announces each range that was written.
fn copy_ranges(
    source: &dyn BlockSource,
    sink: &dyn BlockSink,
    written: &mpsc::Sender<ByteRange>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let size = source.size();
    progress.add_total(size);
    let mut kept = sink.kept().into_iter().filter(|range| range.offset + range.length <= size).peekable();
    let mut buffer = vec![0; usize::try_from(CHUNK.min(size)).map_err(io::Error::other)?];
    let (mut at, mut start) = (0, 0);
    while at < size {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(range) = kept.next_if(|range| range.offset == at) {
            sink.keep(range)?;
            at += range.length;
            start = at;
            progress.count_done(range.length);
            continue;
        }
        let next = kept.peek().map_or(size, |range| range.offset);
        let length = CHUNK.min(next - at);
        copy_range(source, sink, ByteRange { offset: at, length }, &mut buffer)?;
        at += length;
        progress.count_done(length);
        if at % STEP == 0 || at == next {
            // Nobody listens where nothing is written down.
            let _ = written.send(ByteRange { offset: start, length: at - start });
            start = at;
        }
    }
    Ok(())
}

fn copy_range(
    source: &dyn BlockSource,
    sink: &dyn BlockSink,
    range: ByteRange,
    buffer: &mut [u8],
) -> io::Result<()> {
    let zero =
        !sink.append_only() && sink.fresh() && source.segments(range)?.iter().all(|segment| segment.zero);
    if zero {
        return sink.leave_out(range);
    }
    let part = &mut buffer[..usize::try_from(range.length).map_err(io::Error::other)?];
    source.read_exact_at(part, range.offset)?;
    sink.write_all_at(part, range.offset)
}

/// Makes what was written durable and writes it down, beside the copying. Ends when the copying has
/// ended, or with the first failure: the copying meets it, too.
fn write_down(sink: &dyn BlockSink, log: &dyn PartLog, written: &mpsc::Receiver<ByteRange>) {
    while let Ok(first) = written.recv() {
        let ranges: Vec<_> = iter::once(first).chain(written.try_iter()).collect();
        if sink.sync().is_err() {
            return;
        }
        for range in ranges {
            log.sent(SentPart { range, digest: None, answer: String::new() });
        }
    }
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
