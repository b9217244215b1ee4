//! What a new agent process does about the work of its predecessor, before it asks for any of its
//! own.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    durable,
    job::{Fate, instance_of, lease, settle},
    journal::{FileJournal, JournalError},
    machine::Machine,
    outbox::Outbox,
};

/// Between two tries to undo what could not be undone at once.
const TRY_EVERY: Duration = Duration::from_secs(15);

/// Goes through every journal once: undoes work that has no result, puts away the tools of work
/// that has one.
pub(crate) async fn recover_all(machine: &Machine, outbox: &Outbox) {
    for path in journals(machine) {
        let Some(journal) = open(machine, path) else { continue };
        recover(machine, outbox, &journal).await;
    }
}

/// Tries again, until the agent stops, what could not be undone; `is_running` says which journals
/// are in use.
pub(crate) async fn keep_trying(
    machine: Arc<Machine>,
    outbox: Arc<Outbox>,
    is_running: impl Fn(&std::path::Path) -> bool + Send,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(TRY_EVERY)).await.is_some() {
        for path in journals(&machine) {
            if is_running(&path) {
                continue;
            }
            let Some(journal) = open(&machine, path) else { continue };
            let Some(instance) = instance_of(&journal.header().assignment.work) else {
                recover(&machine, &outbox, &journal).await;
                continue;
            };
            let _only = machine.only(instance).await;
            // It may have been put away by its own work while we waited.
            if journal.path().exists() {
                recover(&machine, &outbox, &journal).await;
            }
        }
    }
}

async fn recover(machine: &Machine, outbox: &Outbox, journal: &Arc<FileJournal>) {
    let lease = lease(journal);
    let fate = if outbox.holds(lease) { Fate::Kept } else { Fate::Undone };
    match settle(machine, journal, fate).await {
        Ok(()) => info!(task = %lease.task_id, ?fate, "put away the work of an earlier process"),
        Err(left) => warn!(task = %lease.task_id, %left, "cannot undo the work of an earlier process yet"),
    }
}

fn journals(machine: &Machine) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(machine.folders.journal()) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).collect();
    paths.sort_unstable();
    paths
}

fn open(machine: &Machine, path: PathBuf) -> Option<Arc<FileJournal>> {
    match FileJournal::open(&path, machine.fault.clone()) {
        Ok(journal) => Some(Arc::new(journal)),
        // Nothing had happened before the first line was durable.
        Err(problem @ JournalError::Empty { .. }) => {
            info!(%problem, "removed");
            if let Err(error) = durable::remove_file(&path) {
                error!(%error, "cannot remove an empty journal");
            }
            None
        }
        Err(JournalError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(problem) => {
            error!(%problem, "cannot recover a piece of work");
            None
        }
    }
}
