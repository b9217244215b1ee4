//! The clean-up of a job: the same way after a success, a failure, a cancellation, a panic, and a
//! crash of the whole agent.

use std::{fmt, sync::Arc, time::Duration};

use imprint_agent_protocol::{AssignmentKind, StorageRef};
use imprint_ports::{PartLog, SharedJournal};
use tracing::{info, warn};

use crate::{
    durable,
    error::CleanupError,
    jobs::{
        coalesce, devices, export, import,
        job::{capture_id, instance_of, lease, scratch_file},
        reinstall, storage_test,
        undo::Cleanup,
    },
    journal::{FileJournal, steps},
    machine::Machine,
    uploads::{self, UploadLog},
};

/// The part of a clean-up that is about the storage alone.
const UPLOAD: &str = "the upload";

/// The parts of a clean-up that failed.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Vec<(&'static str, CleanupError)>);

impl Leftovers {
    /// Remembers the error of a part.
    fn collect(&mut self, part: &'static str, outcome: Result<(), CleanupError>) {
        if let Err(error) = outcome {
            self.0.push((part, error));
        }
    }

    /// Returns whether anything of the instance is left. A storage that cannot be reached must not
    /// keep its owner from starting or stopping it.
    fn concern_the_instance(&self) -> bool {
        self.0.iter().any(|(part, _)| *part != UPLOAD)
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (part, error)) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{part}: {error}")?;
        }
        Ok(())
    }
}

/// Removes what a job left in the hypervisor, on the storage and on the machine, and then its
/// journal. Idempotent.
///
/// # Errors
///
/// Fails when a part cannot be cleaned up. The others are, and the journal stays for the next try.
pub(crate) async fn clean_up(
    machine: &Machine,
    journal: &Arc<FileJournal>,
    cleanup: Cleanup,
) -> Result<(), Leftovers> {
    let mut left = Leftovers::default();
    if cleanup != Cleanup::Commit {
        left.collect("the new instance", remove_new_instance(machine, journal).await);
    }
    left.collect("the hypervisor", undo_capture(machine, journal).await);
    left.collect("the export's sockets", remove_sockets(machine, journal));
    left.collect(UPLOAD, clean_up_upload(machine, journal, cleanup).await);
    if let AssignmentKind::TestStorage(test) = &journal.header().assignment.kind {
        left.collect(
            "the object of the test",
            Box::pin(storage_test::clean_up(machine, journal, test)).await,
        );
    }
    let imported = import::clean_up(machine, journal, cleanup == Cleanup::Interrupted);
    left.collect("the file of the import", imported);
    if let AssignmentKind::ExportImage(order) = &journal.header().assignment.kind {
        left.collect(
            "the file at its owner's storage",
            Box::pin(export::clean_up(machine, journal, order)).await,
        );
    }
    left.collect("the devices", Box::pin(devices::clean_up(machine, journal, cleanup)).await);
    left.collect("the merged disk", coalesce::clean_up(machine, journal).await);
    left.collect("the disk of a reinstallation", reinstall::clean_up(machine, journal));
    if journal.last(steps::SCRATCH).is_some() {
        let removed = durable::remove_file(&scratch_file(machine, journal));
        left.collect("the scratch file", removed.map_err(CleanupError::from));
    }
    let instance = instance_of(&journal.header().assignment.kind);
    if !left.0.is_empty() {
        if let Some(id) = instance.filter(|_| left.concern_the_instance()) {
            machine.set_unrecovered(id);
        }
        return Err(left);
    }
    journal.remove().map_err(|error| Leftovers(vec![("the journal", error.into())]))?;
    if let Some(id) = instance {
        machine.set_recovered(id);
    }
    Ok(())
}

/// Calls [`clean_up`] a few times; recovery repeats later what still fails.
pub(crate) async fn clean_up_with_retries(machine: &Machine, journal: &Arc<FileJournal>, cleanup: Cleanup) {
    for pause in [Duration::from_millis(500), Duration::from_secs(2), Duration::ZERO] {
        let Err(left) = clean_up(machine, journal, cleanup).await else { return };
        warn!(task = %lease(journal).task_id, %left, "the clean-up is not complete yet");
        tokio::time::sleep(pause).await;
    }
}

/// Asks the driver to undo a capture that it started. When the hypervisor's process has ended,
/// nothing of the capture is left.
async fn undo_capture(machine: &Machine, journal: &Arc<FileJournal>) -> Result<(), CleanupError> {
    let header = journal.header();
    let started = journal.last(steps::SNAPSHOT).is_some() && journal.last(steps::DOWN).is_none();
    let AssignmentKind::Capture(capture) = &header.assignment.kind else { return Ok(()) };
    let instance = capture.instance.id;
    if !started || machine.instance_dir(instance).process().is_none() {
        return Ok(());
    }
    let driver = machine.driver(&header.driver, &header.driver_settings).await?;
    let shared: SharedJournal = journal.clone();
    let capture_id = capture_id(header.assignment.task_id);
    match driver.recover(&instance.to_string(), &capture_id, &shared).await {
        Ok(recovered) => {
            info!(%instance, actions = ?recovered.actions, "undid a capture in the hypervisor");
            Ok(())
        }
        // The process may have ended during the call.
        Err(_) if machine.instance_dir(instance).process().is_none() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the sockets that the capture was served on, which a hypervisor that died left. They are
/// named after the capture.
fn remove_sockets(machine: &Machine, journal: &FileJournal) -> Result<(), CleanupError> {
    if journal.last(steps::SNAPSHOT).is_none() {
        return Ok(());
    }
    let prefix = format!("{}-", capture_id(lease(journal).task_id));
    for entry in std::fs::read_dir(machine.folders.run())?.filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".sock"));
        if ours {
            durable::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Returns the upload's token to its storage, unless the image is visible, and removes what became
/// visible under the image's key before the job failed. The key belongs to this image alone, and
/// another attempt at it waits until this one is cleaned up. A job that has ended may have reported
/// its image already: what it published stays.
async fn clean_up_upload(
    machine: &Machine,
    journal: &FileJournal,
    cleanup: Cleanup,
) -> Result<(), CleanupError> {
    let Some(note) = journal.last(steps::UPLOAD) else { return Ok(()) };
    let Some((target, key)) = upload_of(&journal.header().assignment.kind) else { return Ok(()) };
    let noted = |step| journal.last(step).is_some();
    let (folder, task) = (machine.folders.uploads(), lease(journal).task_id);
    if noted(steps::COMMITTED) && noted(steps::ENDED) {
        return Ok(uploads::remove(&folder, task)?);
    }
    if cleanup == Cleanup::Interrupted && is_of_use(machine, journal) {
        return Ok(());
    }
    // The upload began, so the folder was marked: one without a marker is another one.
    let marked = StorageRef { initialise: false, ..target.clone() };
    let storage = machine.storage(&marked).await?.backend;
    // An upload that starts over follows one that was committed, and wrong.
    if !journal.noted_since(steps::COMMITTED, steps::UPLOAD) {
        let token = note.get("token").and_then(|text| hex::decode(text).ok());
        storage.cleanup(&token.ok_or(CleanupError::Journal("it has no token of the upload"))?).await?;
    }
    if noted(steps::COMMITTING) {
        storage.delete(key).await?;
    }
    Ok(uploads::remove(&folder, task)?)
}

/// Returns whether another attempt can go on with the upload: its storage has some of it. An image
/// of a capture that may be visible is not kept: the next attempt has another one.
fn is_of_use(machine: &Machine, journal: &FileJournal) -> bool {
    let assignment = &journal.header().assignment;
    let is_move = matches!(assignment.kind, AssignmentKind::MoveImage(_));
    if journal.last(steps::COMMITTING).is_some() && !is_move {
        return false;
    }
    let found = UploadLog::find(&machine.folders.uploads(), assignment.task_id);
    matches!(found, Ok(Some(log)) if log.is_committing() || !log.known().is_empty())
}

/// Returns whether a job has sent something that its next attempt will not send again.
pub(crate) fn has_advanced(machine: &Machine, journal: &FileJournal) -> bool {
    if import::has_advanced(machine, journal) {
        return true;
    }
    let Some(note) = journal.last(steps::UPLOAD) else { return false };
    let before = note.get("known").and_then(|text| text.parse().ok()).unwrap_or(0);
    let found = UploadLog::find(&machine.folders.uploads(), lease(journal).task_id);
    matches!(found, Ok(Some(log)) if log.known().len() > before)
}

/// Returns the storage and the key that an assignment writes an object to.
fn upload_of(kind: &AssignmentKind) -> Option<(&StorageRef, &str)> {
    match kind {
        AssignmentKind::Capture(capture) => Some((&capture.image.storage, &capture.image.key)),
        AssignmentKind::MoveImage(order) => Some((&order.to, &order.key)),
        AssignmentKind::Import(import) => Some((&import.image.storage, &import.image.key)),
        AssignmentKind::ExportImage(order) if !order.is_destination => Some((&order.to, &order.key)),
        AssignmentKind::RegisterImage(_)
        | AssignmentKind::VerifyImage(_)
        | AssignmentKind::DeleteImage(_)
        | AssignmentKind::ExportImage(_)
        | AssignmentKind::Deploy(_)
        | AssignmentKind::Start(_)
        | AssignmentKind::Stop(_)
        | AssignmentKind::Coalesce(_)
        | AssignmentKind::DeleteInstance(_)
        | AssignmentKind::ChangeDevices(_)
        | AssignmentKind::RegisterIso(_)
        | AssignmentKind::TestStorage(_)
        | AssignmentKind::ScanStorage(_)
        | AssignmentKind::CleanStorage(_) => None,
    }
}

/// Ends the process of an instance that was being deployed, and removes its folder.
async fn remove_new_instance(machine: &Machine, journal: &FileJournal) -> Result<(), CleanupError> {
    if journal.last(steps::NEW_INSTANCE).is_none() {
        return Ok(());
    }
    if let AssignmentKind::Deploy(deploy) = &journal.header().assignment.kind {
        machine.instance_dir(deploy.instance.id).terminate_and_remove().await?;
    }
    Ok(())
}
