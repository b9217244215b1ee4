//! One piece of work while it is done, and how it is undone: the same way after a failure, a
//! cancellation, a panic, and a crash of the whole agent.

use std::{fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

use imprint_agent_protocol::{HeldLease, Work};
use imprint_domain::id::{InstanceId, TaskId};
use imprint_ports::{Driver, PortError, SharedJournal};
use tracing::{info, warn};

use crate::{
    coalesce,
    control::Control,
    durable,
    error::Halt,
    instance::Home,
    journal::FileJournal,
    machine::{Machine, blocking},
    step,
};

/// How long a process may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One piece of work.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) machine: Arc<Machine>,
    pub(crate) journal: Arc<FileJournal>,
    pub(crate) control: Arc<Control>,
}

impl Job {
    /// Writes a note of the host; it is durable when this returns.
    pub(crate) async fn note<const N: usize>(
        &self,
        step: &'static str,
        data: [(&'static str, String); N],
    ) -> Result<(), Halt> {
        let journal = self.journal.clone();
        blocking(move || journal.note(step, data))
            .await?
            .map_err(|error| Halt::io("write the journal", &error))
    }

    pub(crate) fn shared_journal(&self) -> SharedJournal {
        self.journal.clone()
    }

    /// The driver that the journal names.
    pub(crate) async fn driver(&self) -> Result<Arc<dyn Driver>, PortError> {
        let header = self.journal.header();
        self.machine.driver(&header.driver, &header.driver_settings).await
    }

    pub(crate) fn scratch_file(&self) -> PathBuf {
        scratch_file(&self.machine, &self.journal)
    }
}

fn scratch_file(machine: &Machine, journal: &FileJournal) -> PathBuf {
    let lease = lease(journal);
    machine.folders.scratch_file(lease.task_id, lease.fence)
}

/// The lease that a journal's work has.
pub(crate) fn lease(journal: &FileJournal) -> HeldLease {
    let assignment = &journal.header().assignment;
    HeldLease { task_id: assignment.task_id, fence: assignment.fence }
}

/// Twelve lower-case hexadecimal digits, which become part of node names inside the hypervisor.
pub(crate) fn capture_id(task: TaskId) -> String {
    let text = task.uuid().simple().to_string();
    text[text.len() - 12..].to_owned()
}

/// The instance that a piece of work is at.
pub(crate) fn instance_of(work: &Work) -> Option<InstanceId> {
    match work {
        Work::Capture(capture) => Some(capture.instance.id),
        Work::Deploy(deploy) => Some(deploy.instance.id),
        Work::Coalesce(merge) => Some(merge.instance.id),
        Work::Start(power) | Work::Stop(power) | Work::DeleteInstance(power) => Some(power.instance.id),
        Work::Adopt(_) | Work::DeleteImage(_) => None,
    }
}

/// What becomes of what the work made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It succeeded, and its result is stored for the report: only tools are put away.
    Kept,
    /// It did not: everything goes.
    Undone,
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub(crate) struct Leftovers(Vec<String>);

/// Puts away what a piece of work has in the hypervisor, on the storage and on the machine, and
/// then its journal. Does as much as it can, and can be called again: with leftovers the journal
/// stays.
pub(crate) async fn settle(
    machine: &Machine,
    journal: &Arc<FileJournal>,
    fate: Fate,
) -> Result<(), Leftovers> {
    let mut left = Vec::new();
    let mut keep = |what: &str, outcome: Result<(), String>| {
        if let Err(problem) = outcome {
            left.push(format!("{what}: {problem}"));
        }
    };
    if fate == Fate::Undone {
        keep("the new instance", remove_new_instance(machine, journal).await);
    }
    keep("the hypervisor", take_down(machine, journal).await);
    keep("the export's sockets", remove_sockets(machine, journal));
    keep("the upload", clean_upload(machine, journal).await);
    keep("the merged disk", coalesce::settle(machine, journal).await);
    if journal.last(step::SCRATCH).is_some() {
        keep(
            "the scratch file",
            durable::remove_file(&scratch_file(machine, journal)).map_err(|error| error.to_string()),
        );
    }
    let instance = instance_of(&journal.header().assignment.work);
    if !left.is_empty() {
        if let Some(id) = instance {
            machine.set_unrecovered(id);
        }
        return Err(Leftovers(left));
    }
    journal.remove().map_err(|error| Leftovers(vec![format!("the journal: {error}")]))?;
    if let Some(id) = instance {
        machine.set_recovered(id);
    }
    Ok(())
}

/// Asks the driver to undo a capture that it had begun. A hypervisor process that is gone took
/// everything with it.
async fn take_down(machine: &Machine, journal: &Arc<FileJournal>) -> Result<(), String> {
    let header = journal.header();
    let begun = journal.last(step::SNAPSHOT).is_some() && journal.last(step::DOWN).is_none();
    let Work::Capture(work) = &header.assignment.work else { return Ok(()) };
    if !begun || machine.home(work.instance.id).process().is_none() {
        return Ok(());
    }
    let driver =
        machine.driver(&header.driver, &header.driver_settings).await.map_err(|error| error.to_string())?;
    let shared: SharedJournal = journal.clone();
    let capture = capture_id(header.assignment.task_id);
    let recovered = driver.recover(&work.instance.id.to_string(), &capture, &shared).await;
    match recovered {
        Ok(recovered) => {
            info!(instance = %work.instance.id, actions = ?recovered.actions, "undid a capture in the hypervisor");
            Ok(())
        }
        // It may have ended while we spoke to it.
        Err(_) if machine.home(work.instance.id).process().is_none() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Removes the sockets that the capture was served on: a hypervisor that died left them. They are
/// named after the capture.
fn remove_sockets(machine: &Machine, journal: &FileJournal) -> Result<(), String> {
    if journal.last(step::SNAPSHOT).is_none() {
        return Ok(());
    }
    let prefix = format!("{}-", capture_id(lease(journal).task_id));
    let entries = std::fs::read_dir(machine.folders.run()).map_err(|error| error.to_string())?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".sock"));
        if ours {
            durable::remove_file(&entry.path()).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Hands the upload's token back to its storage, unless the image is visible.
async fn clean_upload(machine: &Machine, journal: &FileJournal) -> Result<(), String> {
    let Some(note) = journal.last(step::UPLOAD) else { return Ok(()) };
    let Work::Capture(work) = &journal.header().assignment.work else { return Ok(()) };
    if journal.last(step::COMMITTED).is_some() {
        return Ok(());
    }
    let token =
        note.get("token").and_then(|text| from_hex(text)).ok_or("the token in the journal is damaged")?;
    let storage = machine.storage(&work.image.storage).await.map_err(|error| error.to_string())?;
    storage.cleanup(&token).await.map_err(|error| error.to_string())
}

/// Ends the process of an instance that was being deployed, and removes its folder.
async fn remove_new_instance(machine: &Machine, journal: &FileJournal) -> Result<(), String> {
    if journal.last(step::NEW_INSTANCE).is_none() {
        return Ok(());
    }
    match &journal.header().assignment.work {
        Work::Deploy(work) => {
            remove_instance(&machine.home(work.instance.id)).await.map_err(|error| error.to_string())
        }
        Work::Capture(_)
        | Work::Adopt(_)
        | Work::DeleteImage(_)
        | Work::Start(_)
        | Work::Stop(_)
        | Work::Coalesce(_)
        | Work::DeleteInstance(_) => Ok(()),
    }
}

/// Ends the instance's process, if it runs, and removes everything that it has on the machine.
/// Idempotent.
pub(crate) async fn remove_instance(home: &Home) -> std::io::Result<()> {
    if let Some(process) = home.process() {
        process.end(PATIENCE).await?;
    }
    let home = home.clone();
    tokio::task::spawn_blocking(move || home.remove()).await.map_err(std::io::Error::other)?
}

/// [`settle`], with a few tries: what stays is tried again in the background.
pub(crate) async fn settle_patiently(machine: &Machine, journal: &Arc<FileJournal>, fate: Fate) {
    for pause in [Duration::from_millis(500), Duration::from_secs(2), Duration::ZERO] {
        let Err(left) = settle(machine, journal, fate).await else { return };
        warn!(task = %lease(journal).task_id, %left, "not everything is put away yet");
        tokio::time::sleep(pause).await;
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}
