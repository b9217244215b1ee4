//! Recovery: what a new agent process does about the jobs of earlier ones, before it claims its
//! own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use imprint_agent_protocol::HeldLease;
use imprint_domain::id::TaskId;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    durable,
    error::CleanupError,
    jobs::{
        cleanup::{clean_up, has_advanced},
        job::{instance_of, lease},
        undo::Cleanup,
    },
    journal::{FileJournal, JOURNAL, JournalError},
    machine::Machine,
    received,
    runtime::outbox::Outbox,
    sync::blocking,
    uploads::{KEPT, UploadLog},
};

/// The time between two tries to undo what could not be undone at once.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Goes through every journal once: undoes jobs that have not succeeded, and removes the tools of
/// those with a stored result, which the control plane knows or will learn. Returns the leases of
/// the jobs that were interrupted and have sent what their next attempts will not send again.
pub(crate) async fn recover_all(machine: &Machine, outbox: &Outbox) -> Vec<HeldLease> {
    let mut advanced = Vec::new();
    for path in journal_paths(machine) {
        let Some(journal) = open(machine, path) else { continue };
        let has_advanced = has_advanced(machine, &journal);
        if recover(machine, outbox, &journal).await == Cleanup::Interrupted && has_advanced {
            advanced.push(lease(&journal));
        }
    }
    advanced
}

/// Tries again, until `stop`, what could not be undone, and removes uploads that no attempt took
/// over; `is_running` returns whether a running job uses a journal, and `is_task` whether one is
/// about a task.
pub(crate) async fn retry_unfinished(
    machine: Arc<Machine>,
    outbox: Arc<Outbox>,
    (is_running, is_task): (impl Fn(&Path) -> bool + Send, impl Fn(TaskId) -> bool + Send),
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL)).await.is_some() {
        remove_unused_uploads(&machine, KEPT, &is_task).await;
        for path in journal_paths(&machine) {
            if is_running(&path) {
                continue;
            }
            let Some(journal) = open(&machine, path) else { continue };
            let Some(instance) = instance_of(&journal.header().assignment.kind) else {
                recover(&machine, &outbox, &journal).await;
                continue;
            };
            let _instance_lock = machine.lock_instance(instance).await;
            // Its own job may have removed it while we waited.
            if journal.path().exists() {
                recover(&machine, &outbox, &journal).await;
            }
        }
    }
}

/// Removes the uploads that wait for another attempt for longer than that. What is visible under
/// their keys stays: another agent may have completed it.
pub(crate) async fn remove_unused_uploads(
    machine: &Machine,
    for_longer_than: Duration,
    is_task: &(impl Fn(TaskId) -> bool + Send),
) {
    let folder = machine.folders.uploads();
    blocking(move || received::remove_unused(&folder, received::KEPT)).await.ok();
    for log in UploadLog::unused(&machine.folders.uploads(), for_longer_than) {
        if is_task(log.header().task) {
            continue;
        }
        let removed = remove_unused(machine, &log).await;
        let header = log.header();
        match removed {
            Ok(()) => info!(task = %header.task, key = header.key, "removed an upload that was given up"),
            Err(problem) => {
                warn!(task = %header.task, key = header.key, %problem, "cannot remove an upload that was given up");
                // Not with every round: the storage may be gone for good.
                log.touch().ok();
            }
        }
    }
}

async fn remove_unused(machine: &Machine, log: &UploadLog) -> Result<(), CleanupError> {
    if let Some(token) = log.header().token() {
        machine.storage(&log.header().storage).await?.backend.cleanup(&token).await?;
    }
    Ok(log.remove()?)
}

/// Cleans up after one job, and returns how.
async fn recover(machine: &Machine, outbox: &Outbox, journal: &Arc<FileJournal>) -> Cleanup {
    let lease = lease(journal);
    let cleanup = match outbox.holds(lease) {
        Some(true) => Cleanup::Commit,
        Some(false) => Cleanup::Rollback,
        None => Cleanup::Interrupted,
    };
    match clean_up(machine, journal, cleanup).await {
        Ok(()) => {
            outbox.forget_reported();
            info!(task = %lease.task_id, ?cleanup, "cleaned up after a job of an earlier process");
        }
        Err(left) => {
            warn!(task = %lease.task_id, %left, "cannot clean up after a job of an earlier process yet");
        }
    }
    cleanup
}

fn journal_paths(machine: &Machine) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(machine.folders.journal()) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == JOURNAL)).collect();
    paths.sort_unstable();
    paths
}

fn open(machine: &Machine, path: PathBuf) -> Option<Arc<FileJournal>> {
    match FileJournal::open(&path, machine.fault.clone()) {
        Ok(journal) => Some(Arc::new(journal)),
        // The job had not done anything before the first line was durable.
        Err(problem @ JournalError::Empty { .. }) => {
            info!(%problem, "removed an empty journal");
            if let Err(error) = durable::remove_file(&path) {
                error!(%error, "cannot remove an empty journal");
            }
            None
        }
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        Err(problem) => {
            error!(%problem, "cannot recover a job");
            None
        }
    }
}
