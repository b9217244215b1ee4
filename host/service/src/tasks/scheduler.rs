//! Which queued task may run now, and why the others wait. Pure: one decision for claiming and for
//! showing.

use std::collections::BTreeSet;

use imprint_domain::{
    Error,
    id::{HypervisorId, InstanceId, TaskId},
    task::{Task, TaskKind, TaskState},
    time::Timestamp,
};
use imprint_store::{
    Conn, hypervisor,
    task::{self, TaskRecord},
};

use crate::{db_result::DbResult, storages::bring, tasks::moves};

/// The number of queued tasks of a hypervisor that are considered; those behind them wait.
pub(crate) const MAX_SCANNED: u32 = 1000;

/// The facts that decide which tasks of a hypervisor may run.
pub(crate) struct Queue<'a> {
    /// Queued tasks, oldest first.
    pub(crate) queued: &'a [Task],
    /// Running tasks.
    pub(crate) running: &'a [Task],
    /// Queued removals of files that a running task still reads.
    pub(crate) read: &'a BTreeSet<TaskId>,
    /// Queued deployments whose image is on its way to a storage of the hypervisor.
    pub(crate) awaiting: &'a BTreeSet<TaskId>,
    /// The number of tasks that may run at once.
    pub(crate) max_work: u32,
    /// The number of captures that may run at once (S28).
    pub(crate) max_captures: u32,
    /// Whether the agent is online.
    pub(crate) online: bool,
    /// The current time.
    pub(crate) now: Timestamp,
}

/// The decision about one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may run.
    Run,
    /// It waits.
    Wait(Reason),
}

/// The reason why a task waits (S27, X12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The agent is offline.
    AgentOffline,
    /// A pause after a failure.
    Pause(Timestamp),
    /// Another task of the instance comes first.
    Instance,
    /// The hypervisor's limit of captures is reached.
    Captures(u32),
    /// The hypervisor's limit of tasks is reached.
    Tasks(u32),
    /// A task still reads the file that is to be removed.
    Readers,
    /// The image is copied to a storage that the hypervisor reaches.
    Image,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AgentOffline => f.write_str("the hypervisor's agent to come back"),
            Self::Pause(until) => {
                write!(f, "the next attempt at {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            }
            Self::Instance => f.write_str("another task of this instance"),
            Self::Captures(limit) => {
                write!(f, "one of the {limit} captures that may run at once on this hypervisor")
            }
            Self::Readers => f.write_str("the tasks that still read the file"),
            Self::Image => f.write_str("the image, which is copied to a storage of this hypervisor"),
            Self::Tasks(limit) => {
                write!(f, "one of the {limit} tasks that may run at once on this hypervisor")
            }
        }
    }
}

impl Queue<'_> {
    /// Returns the decision about every queued task, in their order.
    pub(crate) fn schedule(&self) -> Vec<(TaskId, Decision)> {
        let mut busy: BTreeSet<InstanceId> = self.running.iter().filter_map(exclusive).collect();
        let mut tasks = self.running.len();
        let mut captures = self.running.iter().filter(|task| is_capture(task)).count();
        let mut decisions = Vec::with_capacity(self.queued.len());
        for task in self.queued {
            let reason = self.obstacle(task, &busy, tasks, captures);
            // Tasks of one instance keep their order, so one that waits holds back those behind it.
            busy.extend(exclusive(task));
            let decision = match reason {
                Some(reason) => Decision::Wait(reason),
                None => {
                    tasks += 1;
                    captures += usize::from(is_capture(task));
                    Decision::Run
                }
            };
            decisions.push((task.id, decision));
        }
        decisions
    }

    fn obstacle(
        &self,
        task: &Task,
        busy: &BTreeSet<InstanceId>,
        tasks: usize,
        captures: usize,
    ) -> Option<Reason> {
        let full = |count: usize, limit: u32| u32::try_from(count).is_ok_and(|count| count >= limit);
        if !self.online {
            return Some(Reason::AgentOffline);
        }
        if task.run_after > self.now {
            return Some(Reason::Pause(task.run_after));
        }
        if self.read.contains(&task.id) {
            return Some(Reason::Readers);
        }
        if self.awaiting.contains(&task.id) {
            return Some(Reason::Image);
        }
        if exclusive(task).is_some_and(|instance| busy.contains(&instance)) {
            return Some(Reason::Instance);
        }
        if is_capture(task) && full(captures, self.max_captures) {
            return Some(Reason::Captures(self.max_captures));
        }
        full(tasks, self.max_work).then_some(Reason::Tasks(self.max_work))
    }
}

fn is_capture(task: &Task) -> bool {
    task.kind.spec().counts_as_capture
}

/// The instance that a task needs for itself.
fn exclusive(task: &Task) -> Option<InstanceId> {
    if task.kind.spec().exclusive { task.instance_id } else { None }
}

/// Reads the queue of a hypervisor and decides about each of its tasks.
pub(crate) async fn schedule(
    conn: &Conn<'_>,
    id: HypervisorId,
    now: Timestamp,
) -> Result<Vec<(TaskId, Decision)>, Error> {
    let record = hypervisor::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("hypervisor"))?;
    let bare =
        |records: Vec<TaskRecord>| -> Vec<Task> { records.into_iter().map(|record| record.task).collect() };
    let queued = bare(task::of_hypervisor(conn, id, TaskState::Queued, MAX_SCANNED).await.db()?);
    let running = bare(task::of_hypervisor(conn, id, TaskState::Running, MAX_SCANNED).await.db()?);
    let mut read = BTreeSet::new();
    for removal in queued.iter().filter(|task| task.kind == TaskKind::ObjectDelete) {
        if moves::is_read(conn, removal).await? {
            read.insert(removal.id);
        }
    }
    let mut awaiting = BTreeSet::new();
    // Mostly none, so that no image is looked up.
    let moving = task::images_being_moved(conn).await.db()?;
    let of_moving = |task: &&Task| task.image_id.is_some_and(|image| moving.contains(&image));
    for task in queued.iter().filter(|task| task.kind.deploys_image()).filter(of_moving) {
        if bring::is_awaited(conn, task, now).await? {
            awaiting.insert(task.id);
        }
    }
    let queue = Queue {
        queued: &queued,
        awaiting: &awaiting,
        read: &read,
        running: &running,
        max_work: record.max_work,
        max_captures: record.hypervisor.max_captures,
        online: record.hypervisor.is_online(now),
        now,
    };
    Ok(queue.schedule())
}
