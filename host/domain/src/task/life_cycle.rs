//! The transitions of a task. The diagram is at [`Task`].

use chrono::TimeDelta;

use super::{
    InconsistentTask, LEASE_S, Lease, MAX_ATTEMPTS, NewTask, Phase, Progress, Task, TaskKind, TaskParts,
    TaskState, Throughput,
};
use crate::{id::AgentId, task_error::TaskError, time::Timestamp, transition::IllegalTransition};

/// The pause before the second attempt, in seconds; each further one is four times as long, at most
/// [`MAX_PAUSE_S`].
const FIRST_PAUSE_S: i64 = 5;
const MAX_PAUSE_S: i64 = 600;
/// The shortest time between two samples of the throughput, in milliseconds.
const SAMPLE_MS: i64 = 500;

/// Whether and when a failed attempt is followed by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// After a pause, if attempts are left.
    AfterPause,
    /// Immediately, if attempts are left: the failure does not depend on the task.
    Immediately,
    /// After that many seconds, if attempts are left: what the task needs may be there by then.
    After(u32),
    /// Not without a request.
    Never,
}

fn pause(attempts: u32) -> TimeDelta {
    let factor = 4_i64.saturating_pow(attempts.saturating_sub(1));
    TimeDelta::seconds(FIRST_PAUSE_S.saturating_mul(factor).min(MAX_PAUSE_S))
}

impl Task {
    /// Builds a queued task.
    pub fn new(new: NewTask, now: Timestamp) -> Self {
        Self(TaskParts {
            id: new.id,
            account_id: new.account_id,
            kind: new.kind,
            state: TaskState::Queued,
            progress: Progress::NONE,
            throughput: Throughput::default(),
            image_id: new.image_id,
            instance_id: new.instance_id,
            hypervisor_id: new.hypervisor_id,
            attempts: 0,
            attempts_allowed: MAX_ATTEMPTS,
            cancel_requested: false,
            run_after: now,
            deadline: now + TimeDelta::seconds(new.kind.spec().deadline_s),
            lease: None,
            fence: 0,
            finished_fence: 0,
            error: None,
            request_id: new.request_id,
            created_at: now,
            started_at: None,
            finished_at: None,
        })
    }

    /// Builds a task from the parts that a row holds.
    ///
    /// # Errors
    ///
    /// [`InconsistentTask`] when a task that is not running has a lease, or a running one has none.
    pub fn from_parts(parts: TaskParts) -> Result<Self, InconsistentTask> {
        if (parts.state == TaskState::Running) == parts.lease.is_some() {
            Ok(Self(parts))
        } else {
            Err(InconsistentTask)
        }
    }

    fn require(&self, from: &[TaskState], to: TaskState) -> Result<(), IllegalTransition> {
        if from.contains(&self.0.state) {
            return Ok(());
        }
        Err(IllegalTransition { noun: "task", from: self.0.state.as_str(), to: to.as_str() })
    }

    /// Gives a queued task to an agent: a new attempt starts, with the next fencing token.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is not queued.
    pub fn claim(&mut self, agent_id: AgentId, now: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Queued], TaskState::Running)?;
        let task = &mut self.0;
        task.state = TaskState::Running;
        task.fence = task.fence.saturating_add(1);
        task.lease = Some(Lease { agent_id, fence: task.fence, until: now + TimeDelta::seconds(LEASE_S) });
        task.attempts = task.attempts.saturating_add(1);
        task.progress.phase = Phase::Preparing;
        task.started_at = task.started_at.or(Some(now));
        Ok(())
    }

    /// Starts the time that the work may take, if it starts with the work and has not started yet:
    /// the attempts that follow a failed one share it, a retry by request has its own (S29).
    pub fn start_clock(&mut self, limit: TimeDelta, now: Timestamp) {
        let has_started = self.0.error.is_some();
        if self.0.kind.spec().clock_starts_with_work && !has_started {
            self.0.deadline = now + limit;
        }
    }

    /// Returns whether an agent process holds the lease that it was given with `fence`. A lease
    /// that has expired is held until it is taken back.
    pub fn is_leased_to(&self, agent_id: AgentId, fence: u64) -> bool {
        self.0.lease.is_some_and(|lease| lease.agent_id == agent_id && lease.fence == fence)
    }

    /// Extends the lease, if there is one, by a full term from `now`.
    pub fn extend_lease(&mut self, now: Timestamp) {
        if let Some(lease) = &mut self.0.lease {
            lease.until = lease.until.max(now + TimeDelta::seconds(LEASE_S));
        }
    }

    /// Remembers that the report of the current attempt's end was accepted: the same report is
    /// accepted again, without effect.
    pub fn accept_report(&mut self) {
        self.0.finished_fence = self.0.fence;
    }

    /// Applies a report of progress. What would decrease stays as it is (X12).
    pub fn report_progress(&mut self, reported: Progress, now: Timestamp) {
        let progress = &mut self.0.progress;
        if reported.phase > progress.phase && reported.phase != Phase::Done {
            progress.phase = reported.phase;
        }
        progress.bytes_total = progress.bytes_total.max(reported.bytes_total);
        let done = reported.bytes_done.max(progress.bytes_done);
        progress.bytes_done = progress.bytes_total.map_or(done, |total| done.min(total));
        self.0.throughput.sample(self.0.progress.bytes_done, now);
    }

    /// Requests the cancellation of a running task; its agent learns of it with its next call.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is not running.
    pub fn request_cancellation(&mut self) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Running], TaskState::Cancelled)?;
        self.0.cancel_requested = true;
        Ok(())
    }

    /// Ends the task with success. A queued task succeeds when there is nothing for an agent to do.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is over.
    pub fn succeed(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Queued, TaskState::Running], TaskState::Succeeded)?;
        self.0.error = None;
        self.0.progress.phase = Phase::Done;
        if let Some(total) = self.0.progress.bytes_total {
            self.0.progress.bytes_done = total;
        }
        self.end(TaskState::Succeeded, now);
        Ok(())
    }

    /// Ends the task with an error.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is over.
    pub fn fail(&mut self, error: TaskError, now: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Queued, TaskState::Running], TaskState::Failed)?;
        self.0.error = Some(error);
        self.end(TaskState::Failed, now);
        Ok(())
    }

    /// Ends the task by request. The error of an earlier attempt stays.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is over.
    pub fn cancel(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Queued, TaskState::Running], TaskState::Cancelled)?;
        self.0.cancel_requested = true;
        self.end(TaskState::Cancelled, now);
        Ok(())
    }

    /// Puts a running task back into the queue after a failed attempt. The next attempt starts with
    /// fresh progress, not before `run_after`.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is not running.
    pub fn requeue(&mut self, error: TaskError, run_after: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Running], TaskState::Queued)?;
        self.0.error = Some(error);
        self.queue(run_after);
        Ok(())
    }

    /// Puts a failed or cancelled task back into the queue, with [`MAX_ATTEMPTS`] more attempts and
    /// a new deadline.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is neither failed nor cancelled.
    pub fn retry(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.require(&[TaskState::Failed, TaskState::Cancelled], TaskState::Queued)?;
        let task = &mut self.0;
        task.cancel_requested = false;
        task.error = None;
        task.deadline = now + TimeDelta::seconds(task.kind.spec().deadline_s);
        task.attempts_allowed = task.attempts.saturating_add(MAX_ATTEMPTS);
        self.queue(now);
        Ok(())
    }

    /// Returns the coarse figure of the seeds in percent (D9): a capture stands at 25 from its
    /// request until it copies (S36); else it is that of the phase.
    pub fn checkpoint(&self) -> u8 {
        match (self.0.kind, self.0.progress.phase) {
            (TaskKind::ImageCapture, Phase::Queued) => Phase::Preparing.checkpoint(),
            (_, phase) => phase.checkpoint(),
        }
    }

    /// Grants one more attempt: the current one ends for a reason that is not the task's.
    pub fn grant_attempt(&mut self) {
        self.0.attempts_allowed = self.0.attempts_allowed.saturating_add(1);
    }

    /// Ends an attempt with an error: the task is cancelled if that was requested, queued again if
    /// `retry` and the attempts and time that are left allow it, and failed otherwise.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the task is over, or is queued and would be queued again.
    pub fn attempt_failed(
        &mut self,
        error: TaskError,
        retry: RetryPolicy,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if self.0.cancel_requested {
            self.cancel(now)?;
            self.0.error = Some(error);
            return Ok(());
        }
        match self.next_attempt(retry, now) {
            Some(next) => self.requeue(error, next),
            None => self.fail(error, now),
        }
    }

    /// Returns when the next attempt starts after one that ends now without success; `None` where
    /// there is none, or where the task is to be cancelled.
    pub fn next_attempt(&self, retry: RetryPolicy, now: Timestamp) -> Option<Timestamp> {
        let pause = match retry {
            RetryPolicy::AfterPause => pause(self.0.attempts),
            RetryPolicy::Immediately => TimeDelta::zero(),
            RetryPolicy::After(seconds) => TimeDelta::seconds(seconds.into()),
            RetryPolicy::Never => return None,
        };
        let next = now + pause;
        let has_another = self.0.attempts < self.0.attempts_allowed && next < self.0.deadline;
        (has_another && !self.0.cancel_requested).then_some(next)
    }

    fn end(&mut self, state: TaskState, now: Timestamp) {
        self.0.state = state;
        self.0.lease = None;
        self.0.finished_at = Some(now);
        self.0.throughput.bytes_per_second = None;
    }

    fn queue(&mut self, run_after: Timestamp) {
        self.0.state = TaskState::Queued;
        self.0.progress = Progress::NONE;
        self.0.throughput = Throughput::default();
        self.0.lease = None;
        self.0.finished_at = None;
        self.0.run_after = run_after;
    }
}

impl Throughput {
    fn sample(&mut self, bytes_done: u64, now: Timestamp) {
        let Some(at) = self.sampled_at else {
            self.sampled_at = Some(now);
            self.sampled_bytes = bytes_done;
            return;
        };
        let elapsed_ms = (now - at).num_milliseconds();
        if elapsed_ms < SAMPLE_MS {
            return;
        }
        let copied = u128::from(bytes_done.saturating_sub(self.sampled_bytes)) * 1000;
        let rate = u64::try_from(copied / u128::from(elapsed_ms.unsigned_abs().max(1))).unwrap_or(u64::MAX);
        // Smoothed, so that the remaining time does not jump.
        self.bytes_per_second = Some(self.bytes_per_second.map_or(rate, |old| old / 4 * 3 + rate / 4));
        self.sampled_at = Some(now);
        self.sampled_bytes = bytes_done;
    }
}

#[cfg(test)]
mod tests;
