//! What the pipeline works on.

use std::sync::{Arc, Mutex};

use imprint_ports::{BlockSink, Placed};
use tokio::sync::mpsc;

use crate::{
    digest::StoredDigest,
    disk::Disk,
    error::EngineError,
    transfer::{
        context::OperationContext,
        place::Layout,
        plan::{Event, Pass, WritePlan},
    },
    util::lock::lock,
};

/// The number of reports of placements that may wait for the format plugin.
pub(crate) const REPORTS: usize = 16;

/// What the pipeline does with the bytes of a disk.
pub(crate) enum Target {
    /// Computes the logical digest only.
    Nothing,
    /// Writes them to a file.
    File(FileTarget),
}

/// A file that is written.
pub(crate) struct FileTarget {
    pub(crate) sink: Arc<dyn BlockSink>,
    pub(crate) plan: WritePlan,
    pub(crate) pass: Pass,
    /// Records everything that is written, except leaves of a file that is the disk.
    pub(crate) stored: Arc<StoredDigest>,
    /// The channel for placements, in ascending order.
    pub(crate) events: mpsc::Sender<Event>,
    /// The channel for the bytes of tables between units.
    pub(crate) answers: Mutex<mpsc::Receiver<Vec<u8>>>,
}

/// An operation for the pipeline.
pub(crate) struct Operation {
    pub(crate) disk: Arc<Disk>,
    pub(crate) target: Target,
    pub(crate) context: OperationContext,
}

impl Target {
    /// Returns the placement rules of the file, if there is one.
    pub(super) fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Nothing => None,
            Self::File(file) => Some(&file.plan.layout),
        }
    }
}

impl FileTarget {
    /// Requests the bytes at file offset `at`, after all placements before it.
    pub(super) fn ask(&self, reports: Vec<Vec<Placed>>, at: u64) -> Result<Vec<u8>, EngineError> {
        self.report(reports)?;
        let stopped = |()| EngineError::Cancelled;
        self.events.blocking_send(Event::Interleave { at }).map_err(|_| stopped(()))?;
        let mut answers = lock(&self.answers);
        answers.blocking_recv().ok_or(()).map_err(stopped)
    }

    pub(super) fn report(&self, reports: Vec<Vec<Placed>>) -> Result<(), EngineError> {
        let sent =
            reports.into_iter().try_for_each(|report| self.events.blocking_send(Event::Placed(report)));
        sent.map_err(|_| EngineError::Cancelled)
    }
}
