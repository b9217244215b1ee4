//! The pipeline: worker threads that each take a window of the disk through all stages on one cache-hot buffer.
//!
//! read -> decode -> zero detection -> digest -> encode -> (in order) reserve -> write. There are no queues of buffers: each
//! worker owns the few windows that it has under way. The ordered step holds a lock for the time it takes to hand out a few
//! offsets; it makes the output independent of the number of threads.
//!
//! Memory of a job: for each thread 4 MiB of windows and their encoded form (two units where units are larger than 2 MiB), the
//! buffers of a [`DiskReader`](crate::DiskReader) and the codecs' contexts, in all at most 12 MiB with units up to 1 MiB; 16
//! reports of 4096 placements (2 MiB); and the source's map.

mod ordered;
mod worker;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use crate::{
    codec::Encoder,
    digest::{CLUSTER, DigestBuilder, StoredDigest},
    disk::Disk,
    error::EngineError,
    extent_map::ExtentMap,
    io::BlockSink,
    limits::MAX_UNIT,
    movement::{Event, Running, WritePlan},
    num::{align_down, to_u64, to_usize},
    place::{Layout, Placer, UnitRules},
    ports::ByteRange,
};

use ordered::{Ordered, Shared};
use worker::Worker;

/// Bytes of the disk that a worker takes at once.
const WINDOW: u64 = 1 << 20;
/// The same where nothing is encoded or decoded: it stays in the second-level cache. Sinks may like longer writes.
const PLAIN_WINDOW: u64 = 256 << 10;
/// Windows that one worker may have under way: as many as fit into so many bytes, at most four. While one waits for its turn,
/// the worker goes on with the next.
const SLOT_BYTES: u64 = 2 << 20;
const MAX_SLOTS: usize = 4;
/// Threads beyond one for each core, at most as many again: they work while others wait for a disk or for their turn.
const SPARE_THREADS: usize = 4;
/// Most threads of one job.
const MAX_THREADS: usize = 256;
/// Reports of placements that may wait for the format plugin.
pub(crate) const REPORTS: usize = 16;

/// What the pipeline does with the bytes of a disk.
pub(crate) enum Target {
    /// Only the logical digest.
    Nothing,
    /// Writes them.
    File {
        sink: Arc<dyn BlockSink>,
        plan: WritePlan,
        /// Takes note of all that is written, except leaves of a file that is the disk.
        stored: Arc<StoredDigest>,
        /// Where placements go, in ascending order.
        events: mpsc::Sender<Event>,
    },
}

/// A job for the pipeline.
pub(crate) struct Job {
    pub(crate) disk: Arc<Disk>,
    pub(crate) target: Target,
    pub(crate) running: Running,
}

impl Target {
    /// Placement rules of the file, if there is one.
    fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Nothing => None,
            Self::File { plan, .. } => Some(&plan.layout),
        }
    }
}

/// What a finished job leaves.
pub(crate) struct Outcome {
    /// Leaves of the disk.
    pub(crate) logical: DigestBuilder,
    /// Leaves of the file's blocks, where the file is the disk.
    pub(crate) stored_prefix: DigestBuilder,
    /// Where the payload ends.
    pub(crate) end: u64,
    /// Virtual bytes in clusters that are not zero.
    pub(crate) data_bytes: u64,
    /// Bytes of payload that were written.
    pub(crate) written: u64,
}

/// Runs a job on its threads and the calling one. Blocks.
pub(crate) fn run(job: &Job) -> Result<Outcome, EngineError> {
    let planner = Planner::new(job.disk.map(), window_of(job), keeps_zeroes(&job.target));
    job.running.progress.start(job.disk.map().stored_bytes());
    let ordered = Ordered::new(Shared {
        logical: DigestBuilder::new(),
        stored_prefix: DigestBuilder::new(),
        placer: match job.target.layout() {
            Some(Layout::Units(rules)) => Some(Placer::new(*rules)),
            Some(Layout::Identity { .. }) | None => None,
        },
        data_bytes: 0,
        written: 0,
    });
    let first_error: Mutex<Option<EngineError>> = Mutex::new(None);
    let work = || {
        let _guard = ordered.fail_on_panic();
        let outcome = Worker::new(job, &planner, &ordered).and_then(|mut worker| worker.run());
        if let Err(error) = outcome {
            let mut first = first_error.lock().expect("no holder of this lock panics");
            // Workers that were only told to stop do not hide why.
            if matches!(*first, None | Some(EngineError::Cancelled)) {
                *first = Some(error);
            }
            drop(first);
            ordered.fail();
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..thread_count(job.running.threads, &planner))
            .map(|number| {
                std::thread::Builder::new().name(format!("data-path-{number}")).spawn_scoped(scope, work)
            })
            .collect();
        work();
        // Fewer threads than asked for are slower, not wrong.
        helpers
            .into_iter()
            .flatten()
            .try_for_each(|helper| helper.join().map_err(|_| EngineError::WorkerLost))
    })?;
    if let Some(error) = first_error.into_inner().expect("no holder of this lock panics") {
        // What other workers met after a cancellation is a consequence of it.
        return Err(if job.running.cancel.is_cancelled() { EngineError::Cancelled } else { error });
    }
    let Shared { logical, stored_prefix, placer, data_bytes, written } = ordered.into_shared();
    let end = match (&job.target, placer) {
        (Target::File { events, .. }, Some(placer)) => {
            let (end, rest) = placer.finish();
            rest.into_iter()
                .try_for_each(|report| events.blocking_send(Event::Placed(report)))
                .map_err(|_| EngineError::Cancelled)?;
            end
        }
        (Target::File { plan, .. }, None) => match plan.layout {
            Layout::Identity { data_start } => data_start + plan.virtual_size,
            Layout::Units(UnitRules { data_start, .. }) => data_start,
        },
        (Target::Nothing, _) => 0,
    };
    Ok(Outcome { logical, stored_prefix, end, data_bytes, written })
}

/// A window holds whole units of the target and of the source, so that no unit is decoded twice, and what the sources like
/// to be asked for.
fn window_of(job: &Job) -> u64 {
    let (unit, encodes) = match job.target.layout() {
        Some(Layout::Units(rules)) => (u64::from(rules.unit), rules.codec.is_some()),
        Some(Layout::Identity { .. }) | None => (1, false),
    };
    let decodes = job.disk.map().encoded_bytes() > 0;
    let source_unit = if decodes { u64::from(job.disk.unit()) } else { 1 };
    let liked = job.disk.preferred_read().max(source_unit).min(MAX_UNIT);
    // Encoded units are placed window by window, so that a window of theirs must not depend on where they go.
    let least = match (encodes || decodes, &job.target) {
        (true, _) => WINDOW,
        (false, Target::File { sink, .. }) => PLAIN_WINDOW.max(sink.preferred_write().min(WINDOW)),
        (false, Target::Nothing) => PLAIN_WINDOW,
    };
    unit.max(least).max(liked.next_power_of_two())
}

fn keeps_zeroes(target: &Target) -> bool {
    matches!(target.layout(), Some(Layout::Units(rules)) if !rules.skip_zero)
}

fn thread_count(asked: Option<NonZeroUsize>, planner: &Planner<'_>) -> usize {
    let cores = || {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        cores.saturating_add(cores.get().min(SPARE_THREADS))
    };
    let windows = usize::try_from(planner.map.size().div_ceil(planner.window)).unwrap_or(usize::MAX);
    asked.unwrap_or_else(cores).get().min(MAX_THREADS).min(windows.max(1))
}

/// Cuts a disk into windows, leaving out those that hold nothing.
struct Planner<'a> {
    map: &'a ExtentMap,
    window: u64,
    /// Windows that one worker may have under way.
    slots: usize,
    keep_zeroes: bool,
    next: Mutex<(u64, u64)>,
}

/// A window: its place in the order, and in the disk.
#[derive(Clone, Copy, Debug)]
struct Window {
    number: u64,
    range: ByteRange,
}

impl<'a> Planner<'a> {
    fn new(map: &'a ExtentMap, window: u64, keep_zeroes: bool) -> Self {
        debug_assert!(window.is_power_of_two() && window.is_multiple_of(to_u64(CLUSTER)));
        let slots = to_usize(SLOT_BYTES / window).clamp(1, MAX_SLOTS);
        Self { map, window, slots, keep_zeroes, next: Mutex::new((0, 0)) }
    }

    fn take(&self) -> Option<Window> {
        let mut next = self.next.lock().expect("no holder of this lock panics");
        let (number, from) = *next;
        let found = match self.keep_zeroes {
            true => (from < self.map.size()).then_some(from),
            false => self.map.next_stored(from),
        };
        let offset = align_down(found?, self.window);
        let end = offset.saturating_add(self.window).min(self.map.size());
        *next = (number + 1, end);
        Some(Window { number, range: ByteRange { offset, length: end - offset } })
    }
}

/// The encoder that a target needs, if any.
fn encoder_for(target: &Target) -> Result<Option<Encoder>, EngineError> {
    let Target::File { plan: WritePlan { layout: Layout::Units(rules), level, .. }, .. } = target else {
        return Ok(None);
    };
    let Some(kind) = rules.codec else { return Ok(None) };
    match Encoder::new(kind, *level) {
        Some(encoder) => Ok(Some(encoder)),
        None => Err(EngineError::InvalidOption {
            what: "the compression level is out of range; use 1 to 12 for zlib, -7 to 19 for zstd".to_owned(),
        }),
    }
}
