//! Which queued task may run now, and why the others wait. Pure: one judgement for claiming and for
//! showing.

use std::collections::BTreeSet;

use imprint_domain::{
    id::{InstanceId, TaskId},
    task::{Task, TaskKind},
    time::Timestamp,
};

/// Queued tasks of a hypervisor that are looked at; those behind them wait for their turn.
pub(crate) const LOOKED_AT: u32 = 1000;

/// What a queue is judged by.
pub(crate) struct Queue<'a> {
    /// Queued tasks, oldest first.
    pub(crate) queued: &'a [Task],
    /// Running tasks.
    pub(crate) running: &'a [Task],
    /// Pieces of work at once.
    pub(crate) max_work: u32,
    /// Captures at once (S28).
    pub(crate) max_captures: u32,
    /// Whether the agent is there.
    pub(crate) online: bool,
    /// Now.
    pub(crate) now: Timestamp,
}

/// The judgement on one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may run.
    Run,
    /// It waits.
    Wait(Reason),
}

/// Why a task waits (S27, X12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nobody is there to take it.
    AgentOffline,
    /// A pause after a failure.
    Pause(Timestamp),
    /// Another task of the instance comes first.
    Instance,
    /// So many captures run already.
    Captures(u32),
    /// So much runs already.
    Work(u32),
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
            Self::Work(limit) => {
                write!(f, "one of the {limit} tasks that may run at once on this hypervisor")
            }
        }
    }
}

impl Queue<'_> {
    /// The judgement on every queued task, in their order.
    pub(crate) fn judge(&self) -> Vec<(TaskId, Verdict)> {
        let mut busy: BTreeSet<InstanceId> = self.running.iter().filter_map(exclusive).collect();
        let mut work = self.running.len();
        let mut captures = self.running.iter().filter(|task| is_capture(task)).count();
        let mut verdicts = Vec::with_capacity(self.queued.len());
        for task in self.queued {
            let reason = self.obstacle(task, &busy, work, captures);
            // Tasks of one instance keep their order, so one that waits holds back those behind it.
            busy.extend(exclusive(task));
            let verdict = match reason {
                Some(reason) => Verdict::Wait(reason),
                None => {
                    work += 1;
                    captures += usize::from(is_capture(task));
                    Verdict::Run
                }
            };
            verdicts.push((task.id, verdict));
        }
        verdicts
    }

    fn obstacle(
        &self,
        task: &Task,
        busy: &BTreeSet<InstanceId>,
        work: usize,
        captures: usize,
    ) -> Option<Reason> {
        let full = |count: usize, limit: u32| u32::try_from(count).is_ok_and(|count| count >= limit);
        if !self.online {
            return Some(Reason::AgentOffline);
        }
        if task.run_after > self.now {
            return Some(Reason::Pause(task.run_after));
        }
        if exclusive(task).is_some_and(|instance| busy.contains(&instance)) {
            return Some(Reason::Instance);
        }
        if is_capture(task) && full(captures, self.max_captures) {
            return Some(Reason::Captures(self.max_captures));
        }
        full(work, self.max_work).then_some(Reason::Work(self.max_work))
    }
}

fn is_capture(task: &Task) -> bool {
    match task.kind {
        TaskKind::ImageCapture => true,
        TaskKind::ImageAdopt
        | TaskKind::ImageDelete
        | TaskKind::InstanceDeploy
        | TaskKind::InstanceStart
        | TaskKind::InstanceStop
        | TaskKind::InstanceCoalesce
        | TaskKind::InstanceDelete => false,
    }
}

/// The instance that a task needs for itself.
fn exclusive(task: &Task) -> Option<InstanceId> {
    match task.kind {
        TaskKind::ImageCapture
        | TaskKind::InstanceDeploy
        | TaskKind::InstanceStart
        | TaskKind::InstanceStop
        | TaskKind::InstanceCoalesce
        | TaskKind::InstanceDelete => task.instance_id,
        TaskKind::ImageAdopt | TaskKind::ImageDelete => None,
    }
}
