//! The context of one job: the machine, its journal, and its progress.

use std::{path::PathBuf, sync::Arc};

use imprint_agent_protocol::{AssignmentKind, HeldLease};
use imprint_domain::id::{InstanceId, TaskId};
use imprint_ports::{Driver, PortError, SharedJournal};

use crate::{
    error::JobError, jobs::control::Control, journal::FileJournal, machine::Machine, sync::blocking,
};

/// A job: the execution of one assignment.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) machine: Arc<Machine>,
    pub(crate) journal: Arc<FileJournal>,
    pub(crate) control: Arc<Control>,
}

impl Job {
    /// Writes a note of the host to the journal; it is durable when this returns.
    pub(crate) async fn note<const N: usize>(
        &self,
        step: &'static str,
        data: [(&'static str, String); N],
    ) -> Result<(), JobError> {
        let journal = self.journal.clone();
        blocking(move || journal.note(step, data))
            .await?
            .map_err(|error| JobError::io("write the journal", &error))
    }

    pub(crate) fn task(&self) -> TaskId {
        self.journal.header().assignment.task_id
    }

    pub(crate) fn shared_journal(&self) -> SharedJournal {
        self.journal.clone()
    }

    /// Returns the driver that the journal names.
    pub(crate) async fn driver(&self) -> Result<Arc<dyn Driver>, PortError> {
        let header = self.journal.header();
        self.machine.driver(&header.driver, &header.driver_settings).await
    }

    pub(crate) fn scratch_file(&self) -> PathBuf {
        scratch_file(&self.machine, &self.journal)
    }
}

/// Returns the path of the scratch file of the job with that journal.
pub(crate) fn scratch_file(machine: &Machine, journal: &FileJournal) -> PathBuf {
    let lease = lease(journal);
    machine.folders.scratch_file(lease.task_id, lease.fence)
}

/// Returns the lease of the job with that journal.
pub(crate) fn lease(journal: &FileJournal) -> HeldLease {
    let assignment = &journal.header().assignment;
    HeldLease { task_id: assignment.task_id, fence: assignment.fence }
}

/// Returns twelve lowercase hexadecimal digits, which become part of node names in the hypervisor.
pub(crate) fn capture_id(task: TaskId) -> String {
    let text = task.uuid().simple().to_string();
    text[text.len() - 12..].to_owned()
}

/// Returns the instance that an assignment is about; `None` for those about an image alone.
pub(crate) fn instance_of(kind: &AssignmentKind) -> Option<InstanceId> {
    match kind {
        AssignmentKind::Capture(capture) => Some(capture.instance.id),
        AssignmentKind::Deploy(deploy) => Some(deploy.instance.id),
        AssignmentKind::Coalesce(merge) => Some(merge.instance.id),
        AssignmentKind::ChangeDevices(order) => Some(order.instance.id),
        AssignmentKind::Start(power)
        | AssignmentKind::Stop(power)
        | AssignmentKind::DeleteInstance(power) => Some(power.instance.id),
        AssignmentKind::Import(_)
        | AssignmentKind::RegisterImage(_)
        | AssignmentKind::RegisterIso(_)
        | AssignmentKind::VerifyImage(_)
        | AssignmentKind::DeleteImage(_)
        | AssignmentKind::MoveImage(_)
        | AssignmentKind::ExportImage(_)
        | AssignmentKind::TestStorage(_)
        | AssignmentKind::ScanStorage(_)
        | AssignmentKind::CleanStorage(_) => None,
    }
}
