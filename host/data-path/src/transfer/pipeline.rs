//! The pipeline: worker threads that each take a window of the disk through all stages on one
//! cache-hot buffer.
//!
//! read -> decode -> zero detection -> digest -> encode -> (in order) reserve -> write. There are
//! no queues of buffers: each worker owns the few windows that it has in progress. The ordered step
//! holds a lock for the time it takes to assign a few offsets; it makes the output independent of
//! the number of threads.
//!
//! Memory of an operation: for each thread 4 MiB of windows and their encoded form (two units where
//! units are larger than 2 MiB; then fewer threads run, so that all together hold 160 MiB at most),
//! the buffers of a [`DiskReader`](crate::DiskReader) and the codecs' contexts, in all at most 12
//! MiB with units up to 1 MiB; 16 reports of 4096 placements (2 MiB); what a
//! [file](crate::FileSink) gathers; and the source's map.

mod ordered;
mod output;
mod planner;
mod slot;
mod target;
mod worker;

use std::sync::Mutex;

use self::{
    ordered::{Ordered, Shared},
    planner::{Planner, thread_count},
    worker::Worker,
};
use super::{
    place::{Layout, Placer},
    plan::{Pass, WriteMode, WritePlan},
};
use crate::{digest::DigestBuilder, error::EngineError, util::lock::lock};

pub(crate) use output::fill_zeroes;
pub(crate) use planner::default_threads;
pub(crate) use target::{FileTarget, Operation, REPORTS, Target};

/// The result of a finished operation.
pub(crate) struct Outcome {
    /// The leaves of the disk.
    pub(crate) logical: DigestBuilder,
    /// The leaves of the file's blocks, where the file is the disk.
    pub(crate) stored_prefix: DigestBuilder,
    /// The file offset at which the payload ends.
    pub(crate) end: u64,
    /// The file offset up to which its bytes were written, where every byte is written.
    pub(crate) position: u64,
    /// The number of virtual bytes in clusters that are not zero.
    pub(crate) data_bytes: u64,
    /// The number of bytes of payload that were written.
    pub(crate) written: u64,
}

/// Runs an operation on its threads and the calling one. Blocks.
pub(crate) fn run(operation: &Operation) -> Result<Outcome, EngineError> {
    let planner = Planner::of(operation);
    let ordered = Ordered::new(Shared {
        logical: DigestBuilder::new(),
        stored_prefix: DigestBuilder::new(),
        placer: match &operation.target {
            Target::File(FileTarget {
                plan: WritePlan { layout: Layout::Units(rules), mode, .. }, ..
            }) => Some(Placer::new(rules.clone(), *mode == WriteMode::Sparse)),
            Target::File(_) | Target::Nothing => None,
        },
        position: operation.target.layout().map_or(0, Layout::data_start),
        data_bytes: 0,
        written: 0,
    });
    let first_error: Mutex<Option<EngineError>> = Mutex::new(None);
    let work = || {
        let _guard = ordered.fail_on_panic();
        let outcome = Worker::new(operation, &planner, &ordered).and_then(|mut worker| worker.run());
        if let Err(error) = outcome {
            let mut first = lock(&first_error);
            // The cancellation of the other workers does not hide the cause.
            if matches!(*first, None | Some(EngineError::Cancelled)) {
                *first = Some(error);
            }
            drop(first);
            ordered.fail();
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..thread_count(operation, &planner))
            .map(|number| {
                std::thread::Builder::new().name(format!("data-path-{number}")).spawn_scoped(scope, work)
            })
            .collect();
        work();
        // Fewer threads than requested are slower, not wrong.
        helpers
            .into_iter()
            .flatten()
            .try_for_each(|helper| helper.join().map_err(|_| EngineError::WorkerLost))
    })?;
    if let Some(error) = first_error.into_inner().expect("no holder of this lock panics") {
        // What other workers report after a cancellation is a consequence of it.
        return Err(if operation.context.cancel.is_cancelled() { EngineError::Cancelled } else { error });
    }
    finish(operation, ordered.into_shared())
}

/// Reports the last placements.
fn finish(operation: &Operation, shared: Shared) -> Result<Outcome, EngineError> {
    let Shared { logical, stored_prefix, placer, position, data_bytes, written } = shared;
    let (end, position) = match (&operation.target, placer) {
        (Target::File(file), Some(mut placer)) => {
            file.report(placer.take_reports())?;
            let (start, end) = placer.last_gap();
            if file.pass == Pass::Write {
                output::leave_empty(file, start, end)?;
            }
            (placer.end(), placer.end())
        }
        (Target::File(file), None) => (file.plan.layout.data_start() + file.plan.virtual_size, position),
        (Target::Nothing, _) => (0, 0),
    };
    Ok(Outcome { logical, stored_prefix, end, position, data_bytes, written })
}
