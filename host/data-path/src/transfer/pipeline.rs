//! The pipeline: worker threads that each take a window of the disk through all stages on one
//! cache-hot buffer.
//!
//! read -> decode -> zero detection -> digest -> encode -> (in order) reserve -> write. There are
//! no queues of buffers: each worker owns the few windows that it has under way. The ordered step
//! holds a lock for the time it takes to hand out a few offsets; it makes the output independent of
//! the number of threads.
//!
//! Memory of a job: for each thread 4 MiB of windows and their encoded form (two units where units
//! are larger than 2 MiB; then fewer threads run, so that all together hold 160 MiB at most), the
//! buffers of a [`DiskReader`](crate::DiskReader) and the codecs' contexts, in all at most 12 MiB
//! with units up to 1 MiB; 16 reports of 4096 placements (2 MiB); what waits in a
//! [file](crate::FileSink) for its neighbours; and the source's map.

mod ordered;
mod output;
mod worker;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use imprint_ports::{BlockSink, ByteRange, Placed};
use tokio::sync::mpsc;

use crate::{
    codec::Encoder,
    digest::{CLUSTER, DigestBuilder, StoredDigest},
    disk::Disk,
    error::EngineError,
    limits::MAX_UNIT,
    map::extent_map::{ExtentMap, MapError},
    transfer::{
        movement::{Event, Manner, Pass, Running, WritePlan},
        place::{Layout, Placer},
    },
    util::num::{align_down, to_u64, to_usize},
};
use ordered::{Ordered, Shared};
use worker::Worker;

pub(crate) use output::fill_zeroes;

/// Bytes of the disk that a worker takes at once.
const WINDOW: u64 = 1 << 20;
/// The same where nothing is encoded or decoded: it stays in the second-level cache. Sinks may like
/// longer writes.
const PLAIN_WINDOW: u64 = 256 << 10;
/// Windows that one worker may have under way: as many as fit into so many bytes, at most four.
/// While one waits for its turn, the worker goes on with the next.
const SLOT_BYTES: u64 = 2 << 20;
const MAX_SLOTS: usize = 4;
/// Threads beyond one for each core, at most as many again: they work while others wait for a disk
/// or for their turn.
const SPARE_THREADS: usize = 4;
/// Bytes of windows of all threads together, where windows are large; and of each thread, where
/// that is more.
const WINDOWS_BYTES: u64 = 160 << 20;
const THREAD_BYTES: u64 = 6 << 20;
/// Most threads of one job.
const MAX_THREADS: usize = 256;
/// Reports of placements that may wait for the format plugin.
pub(crate) const REPORTS: usize = 16;

/// What the pipeline does with the bytes of a disk.
pub(crate) enum Target {
    /// Only the logical digest.
    Nothing,
    /// Writes them.
    File(FileTarget),
}

/// A file to write.
pub(crate) struct FileTarget {
    pub(crate) sink: Arc<dyn BlockSink>,
    pub(crate) plan: WritePlan,
    pub(crate) pass: Pass,
    /// Takes note of all that is written, except leaves of a file that is the disk.
    pub(crate) stored: Arc<StoredDigest>,
    /// Where placements go, in ascending order.
    pub(crate) events: mpsc::Sender<Event>,
    /// Where what is interleaved comes from.
    pub(crate) answers: Mutex<mpsc::Receiver<Vec<u8>>>,
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
            Self::File(file) => Some(&file.plan.layout),
        }
    }
}

impl FileTarget {
    /// Asks for the bytes that lie at `at`, after all placements before it.
    fn ask(&self, reports: Vec<Vec<Placed>>, at: u64) -> Result<Vec<u8>, EngineError> {
        self.report(reports)?;
        let stopped = |()| EngineError::Cancelled;
        self.events.blocking_send(Event::Interleave { at }).map_err(|_| stopped(()))?;
        let mut answers = self.answers.lock().expect("no holder of this lock panics");
        answers.blocking_recv().ok_or(()).map_err(stopped)
    }

    fn report(&self, reports: Vec<Vec<Placed>>) -> Result<(), EngineError> {
        let sent =
            reports.into_iter().try_for_each(|report| self.events.blocking_send(Event::Placed(report)));
        sent.map_err(|_| EngineError::Cancelled)
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
    /// Up to where its bytes were written, where every byte is written.
    pub(crate) position: u64,
    /// Virtual bytes in clusters that are not zero.
    pub(crate) data_bytes: u64,
    /// Bytes of payload that were written.
    pub(crate) written: u64,
}

/// Runs a job on its threads and the calling one. Blocks.
pub(crate) fn run(job: &Job) -> Result<Outcome, EngineError> {
    let planner = Planner::new(job.disk.map(), window_of(job), keeps_zeroes(&job.target));
    let ordered = Ordered::new(Shared {
        logical: DigestBuilder::new(),
        stored_prefix: DigestBuilder::new(),
        placer: match &job.target {
            Target::File(FileTarget {
                plan: WritePlan { layout: Layout::Units(rules), manner, .. }, ..
            }) => Some(Placer::new(rules.clone(), *manner == Manner::Sparse)),
            Target::File(_) | Target::Nothing => None,
        },
        position: job.target.layout().map_or(0, Layout::data_start),
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
        let helpers: Vec<_> = (1..thread_count(job, &planner))
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
    finish(job, ordered.into_shared())
}

/// The last placements.
fn finish(job: &Job, shared: Shared) -> Result<Outcome, EngineError> {
    let Shared { logical, stored_prefix, placer, position, data_bytes, written } = shared;
    let (end, position) = match (&job.target, placer) {
        (Target::File(file), Some(mut placer)) => {
            file.report(placer.take_reports())?;
            let (start, end) = placer.last_gap();
            if file.pass == Pass::Write {
                output::stay_empty(file, start, end)?;
            }
            (placer.end(), placer.end())
        }
        (Target::File(file), None) => (file.plan.layout.data_start() + file.plan.virtual_size, position),
        (Target::Nothing, _) => (0, 0),
    };
    Ok(Outcome { logical, stored_prefix, end, position, data_bytes, written })
}

/// A window holds whole units of the target and of the source, so that no unit is decoded twice,
/// and what the sources like to be asked for.
fn window_of(job: &Job) -> u64 {
    let (unit, encodes) = match job.target.layout() {
        Some(Layout::Units(rules)) => (u64::from(rules.unit), rules.codec.is_some()),
        Some(Layout::Identity { .. }) | None => (1, false),
    };
    let decodes = job.disk.map().encoded_bytes() > 0;
    let source_unit = if decodes { u64::from(job.disk.unit()) } else { 1 };
    let liked = job.disk.preferred_read().max(source_unit).min(MAX_UNIT);
    // Encoded units are placed window by window, so that a window of theirs must not depend on
    // where they go.
    let least = match (encodes || decodes, &job.target) {
        (true, _) => WINDOW,
        (false, Target::File(file)) => PLAIN_WINDOW.max(file.sink.preferred_write().min(WINDOW)),
        (false, Target::Nothing) => PLAIN_WINDOW,
    };
    unit.max(least).max(liked.next_power_of_two())
}

fn keeps_zeroes(target: &Target) -> bool {
    matches!(target.layout(), Some(Layout::Units(rules)) if !rules.skip_zero)
}

/// Threads of a job for which nobody says how many.
pub(crate) fn default_threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.saturating_add(cores.get().min(SPARE_THREADS))
}

/// Large windows bound the number of threads: what all of them hold together does not grow with the
/// unit.
fn thread_count(job: &Job, planner: &Planner<'_>) -> usize {
    let wanted = job.running.threads.unwrap_or_else(default_threads).get().min(MAX_THREADS);
    let encoded = to_u64(encoded_room(job.target.layout(), planner.window));
    let held = (planner.window + encoded) * to_u64(planner.slots);
    let affordable = to_usize(WINDOWS_BYTES.max(THREAD_BYTES * to_u64(wanted)) / held);
    let windows = usize::try_from(planner.map.size().div_ceil(planner.window)).unwrap_or(usize::MAX);
    wanted.min(affordable).min(windows).max(1)
}

/// Room for the encoded form of a window.
fn encoded_room(layout: Option<&Layout>, window: u64) -> usize {
    match layout {
        Some(Layout::Units(rules)) if rules.codec.is_some() => {
            rules.stride(rules.room()) * to_usize(window / u64::from(rules.unit))
        }
        Some(Layout::Units(_) | Layout::Identity { .. }) | None => 0,
    }
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

    fn take(&self) -> Result<Option<Window>, MapError> {
        let mut next = self.next.lock().expect("no holder of this lock panics");
        let (number, from) = *next;
        let found = match self.keep_zeroes {
            true => (from < self.map.size()).then_some(from),
            false => self.map.next_stored(from)?,
        };
        let Some(found) = found else { return Ok(None) };
        let offset = align_down(found, self.window);
        let end = offset.saturating_add(self.window).min(self.map.size());
        *next = (number + 1, end);
        Ok(Some(Window { number, range: ByteRange { offset, length: end - offset } }))
    }
}

/// The encoder that a target needs, if any.
fn encoder_for(target: &Target) -> Result<Option<Encoder>, EngineError> {
    let Target::File(file) = target else { return Ok(None) };
    let WritePlan { layout: Layout::Units(rules), level, .. } = &file.plan else { return Ok(None) };
    let Some(kind) = rules.codec else { return Ok(None) };
    match Encoder::new(kind, *level, rules.unit) {
        Some(encoder) => Ok(Some(encoder)),
        None => Err(EngineError::InvalidOption {
            what: "the compression level is out of range; use 0 to 12 for zlib, -7 to 19 for zstd".to_owned(),
        }),
    }
}
