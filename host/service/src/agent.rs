//! The agents' side: the protocol that `service` implements, for one hypervisor.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use imprint_agent_protocol::{
    Assignment, ClaimRequest, ClaimResponse, ControlPlane, Finish, Heartbeat, HeartbeatResponse, HeldLease,
    MAX_CLAIM_WAIT_MS, PROTOCOL_VERSION, Peer, ProgressReport, ProgressResponse, ProtocolError, Register,
    RegisterResponse, StorageRef,
};
use imprint_domain::{
    Code, Error,
    id::{AgentId, HypervisorId, TaskId},
    instance::InstanceStatus,
    task::{LEASE_S, Phase, TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
    time::Timestamp,
};
use imprint_store::{
    hypervisor::{self, HypervisorRecord},
    instance, storage,
    task::{self, Claim, TaskRecord},
};
use tokio::time::Instant;

use crate::{
    Service,
    change::Change,
    engine::{self, Again},
    finish,
    hub::LOOK_AGAIN,
    queue::{LOOKED_AT, Verdict},
    service::DbResult,
    storage::reference,
    task::judge,
    work,
};

/// Pieces of work in one answer.
const MAX_ASSIGNMENTS: u32 = 64;
/// Entries of a list in a report.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of a text that an agent reports.
const MAX_TEXT: usize = 2048;
/// A rate is taken over at least this long, in milliseconds.
const SAMPLE_MS: i64 = 500;

pub(crate) fn handle(service: &Service, peer: Peer) -> Arc<dyn ControlPlane> {
    Arc::new(Handle { service: service.clone(), hypervisor_id: peer.hypervisor_id })
}

struct Handle {
    service: Service,
    hypervisor_id: HypervisorId,
}

/// A failure on our side: the agent keeps working and tries again.
pub(crate) fn unavailable(error: Error) -> ProtocolError {
    tracing::warn!(code = error.code.as_str(), internal = error.internal, "an agent's call failed");
    // The hypervisor itself is gone.
    if error.code == Code::NotFound {
        return ProtocolError::Unauthenticated;
    }
    ProtocolError::Unavailable { detail: error.detail }
}

pub(crate) fn refused(detail: impl std::fmt::Display) -> ProtocolError {
    ProtocolError::Refused { detail: detail.to_string() }
}

#[async_trait]
impl ControlPlane for Handle {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        if request.protocol != PROTOCOL_VERSION {
            return Err(ProtocolError::Version { agent: request.protocol, control_plane: PROTOCOL_VERSION });
        }
        self.registered(request).await.map_err(unavailable)
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        let lists = [request.leases.len(), request.instances.len(), request.storages.len()];
        if lists.into_iter().any(|length| length > MAX_ENTRIES) {
            return Err(refused(format!("a list has at most {MAX_ENTRIES} entries")));
        }
        let mut change = Change::begin(&self.service).await.map_err(unavailable)?;
        let record = self.present(&change, request.agent_id).await?;
        let answer = self.alive(&mut change, record, request).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(answer)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let wait = Duration::from_millis(u64::from(request.wait_ms.min(MAX_CLAIM_WAIT_MS)));
        let until = Instant::now() + wait;
        let notify = self.service.hub().agent(self.hypervisor_id);
        loop {
            let mut woken = std::pin::pin!(notify.notified());
            // Heard from before the queue is looked at, so that nothing falls between.
            woken.as_mut().enable();
            let assignments = self.take(&request).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !assignments.is_empty() || left.is_zero() {
                return Ok(ClaimResponse { assignments });
            }
            // Late or not, the queue is looked at again: another control plane may have queued
            // something.
            let _in_time = tokio::time::timeout(left.min(LOOK_AGAIN), woken).await;
        }
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        let mut change = Change::begin(&self.service).await.map_err(unavailable)?;
        let mut record = held(&change, self.hypervisor_id, report.agent_id, report.lease).await?;
        advance(&mut record, &report, change.now);
        if let Some(lease) = &mut record.task.lease {
            lease.until = lease.until.max(change.now + TimeDelta::seconds(LEASE_S));
        }
        engine::save(&mut change, &record).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(ProgressResponse { cancel: record.task.cancel_requested })
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        finish::finish(&self.service, self.hypervisor_id, report).await
    }
}

/// The task under a lease that still holds; an expired one that nobody took away still does.
pub(crate) async fn held(
    change: &Change<'_>,
    hypervisor_id: HypervisorId,
    agent_id: AgentId,
    lease: HeldLease,
) -> Result<TaskRecord, ProtocolError> {
    let found = task::get(&change.conn(), lease.task_id).await.db().map_err(unavailable)?;
    found.filter(|record| holds(record, hypervisor_id, agent_id, lease.fence)).ok_or(ProtocolError::LeaseLost)
}

fn holds(record: &TaskRecord, hypervisor_id: HypervisorId, agent_id: AgentId, fence: u64) -> bool {
    record.task.hypervisor_id == hypervisor_id
        && record.task.state == TaskState::Running
        && record.task.lease.is_some_and(|lease| lease.agent_id == agent_id && lease.fence == fence)
}

/// Moves a task's progress on; never back (X12).
fn advance(record: &mut TaskRecord, report: &ProgressReport, now: Timestamp) {
    let progress = &mut record.task.progress;
    if rank(report.phase) > rank(progress.phase) && report.phase != Phase::Done {
        progress.phase = report.phase;
    }
    progress.bytes_total = progress.bytes_total.max(report.bytes_total);
    let done = report.bytes_done.max(progress.bytes_done);
    progress.bytes_done = progress.bytes_total.map_or(done, |total| done.min(total));
    let done = progress.bytes_done;
    let Some(at) = record.sampled_at else {
        record.sampled_at = Some(now);
        record.sampled_bytes = done;
        return;
    };
    let elapsed_ms = (now - at).num_milliseconds();
    if elapsed_ms < SAMPLE_MS {
        return;
    }
    let moved = u128::from(done.saturating_sub(record.sampled_bytes)) * 1000;
    let rate = u64::try_from(moved / u128::from(elapsed_ms.unsigned_abs().max(1))).unwrap_or(u64::MAX);
    // Smoothed, so that the time left does not jump.
    record.rate_bps = Some(record.rate_bps.map_or(rate, |old| old / 4 * 3 + rate / 4));
    record.sampled_at = Some(now);
    record.sampled_bytes = done;
}

const fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Queued => 0,
        Phase::Preparing => 1,
        Phase::Coalesce => 2,
        Phase::Snapshotting => 3,
        Phase::Copying => 4,
        Phase::Finalizing => 5,
        Phase::Starting => 6,
        Phase::Removing => 7,
        Phase::Done => 8,
    }
}

fn short(text: &str) -> String {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_TEXT).last();
    text[..end.unwrap_or(0)].to_owned()
}

impl Handle {
    async fn registered(&self, request: Register) -> Result<RegisterResponse, Error> {
        let mut change = Change::begin(&self.service).await?;
        let mut record = crate::hypervisor::get(&change.conn(), self.hypervisor_id).await?;
        record.agent_id = Some(request.agent_id);
        record.agent_version = Some(short(&request.version));
        record.plugins = request.plugins.into_iter().take(64).map(|(k, v)| (short(&k), short(&v))).collect();
        record.findings = request.findings.iter().take(64).map(|finding| short(finding)).collect();
        record.hypervisor.last_seen_at = Some(change.now);
        hypervisor::update(&change.tx, &record).await.db()?;
        let running = task::of_hypervisor(&change.conn(), self.hypervisor_id, TaskState::Running, LOOKED_AT)
            .await
            .db()?;
        for mut orphan in running {
            if orphan.task.lease.is_some_and(|lease| lease.agent_id != request.agent_id) {
                let detail = "another process of the agent registered";
                let error = TaskError::new(TaskErrorCode::AgentRestarted, detail);
                engine::attempt_failed(&mut change, &mut orphan, error, Again::AtOnce).await?;
            }
        }
        let answer = RegisterResponse {
            driver: record.hypervisor.driver.clone(),
            driver_settings: record.driver_settings.clone(),
            max_work: record.max_work,
            max_captures: record.hypervisor.max_captures,
            storages: self.bound(&change).await?,
            control_plane_time: change.now,
        };
        change.commit().await?;
        Ok(answer)
    }

    async fn bound(&self, change: &Change<'_>) -> Result<Vec<StorageRef>, Error> {
        let bound = storage::of_hypervisor(&change.conn(), self.hypervisor_id).await.db()?;
        Ok(bound.iter().map(|record| reference(&record.storage)).collect())
    }

    /// The hypervisor, if this agent process is its present one.
    async fn present(&self, change: &Change<'_>, id: AgentId) -> Result<HypervisorRecord, ProtocolError> {
        let record = crate::hypervisor::get(&change.conn(), self.hypervisor_id).await.map_err(unavailable)?;
        if record.agent_id == Some(id) { Ok(record) } else { Err(ProtocolError::NotRegistered) }
    }

    async fn alive(
        &self,
        change: &mut Change<'_>,
        mut record: HypervisorRecord,
        request: Heartbeat,
    ) -> Result<HeartbeatResponse, Error> {
        record.hypervisor.last_seen_at = Some(change.now);
        hypervisor::update(&change.tx, &record).await.db()?;
        let (lost, cancelled) = self.prolong(change, &request).await?;
        self.note_instances(change, &request).await?;
        self.note_storages(change, &request).await?;
        Ok(HeartbeatResponse { lost, cancelled, storages: self.bound(change).await? })
    }

    /// Prolongs the leases that hold. Quietly: a longer lease is no news to anybody.
    async fn prolong(
        &self,
        change: &Change<'_>,
        request: &Heartbeat,
    ) -> Result<(Vec<TaskId>, Vec<TaskId>), Error> {
        let (mut lost, mut cancelled) = (Vec::new(), Vec::new());
        for lease in &request.leases {
            let found = task::get(&change.conn(), lease.task_id).await.db()?;
            let Some(mut record) =
                found.filter(|record| holds(record, self.hypervisor_id, request.agent_id, lease.fence))
            else {
                lost.push(lease.task_id);
                continue;
            };
            if record.task.cancel_requested {
                cancelled.push(lease.task_id);
            }
            if let Some(lease) = &mut record.task.lease {
                lease.until = lease.until.max(change.now + TimeDelta::seconds(LEASE_S));
            }
            task::prolong(&change.tx, &record).await.db()?;
        }
        Ok((lost, cancelled))
    }

    async fn note_instances(&self, change: &mut Change<'_>, request: &Heartbeat) -> Result<(), Error> {
        for report in &request.instances {
            let found = instance::get(&change.conn(), report.id).await.db()?;
            let ours = found.filter(|record| record.instance.hypervisor_id == self.hypervisor_id);
            let Some(mut record) = ours else { continue };
            if let Some(size) = report.disk_allocated {
                instance::set_allocated(&change.tx, report.id, size).await.db()?;
            }
            if record.instance.power == report.power || record.instance.status != InstanceStatus::Ready {
                continue;
            }
            record.instance.power = report.power;
            instance::update(&change.tx, &record).await.db()?;
            change.instance_changed(&record).await?;
        }
        Ok(())
    }

    async fn note_storages(&self, change: &Change<'_>, request: &Heartbeat) -> Result<(), Error> {
        let bound = storage::of_hypervisor(&change.conn(), self.hypervisor_id).await.db()?;
        for mut record in bound {
            let Some(report) = request.storages.iter().find(|report| report.id == record.storage.id) else {
                continue;
            };
            record.storage.available = report.available;
            record.storage.total = report.total;
            record.storage.seen_at = Some(change.now);
            record.problem = report.problem.as_deref().map(short);
            storage::update(&change.tx, &record).await.db()?;
        }
        Ok(())
    }

    async fn take(&self, request: &ClaimRequest) -> Result<Vec<Assignment>, ProtocolError> {
        // A look without the write lock first: most of the time there is nothing.
        let now = self.service.now();
        let queue = judge(&self.service.read(), self.hypervisor_id, now).await.map_err(unavailable)?;
        let mut change = None;
        if queue.iter().any(|(_, verdict)| *verdict == Verdict::Run) {
            change = Some(Change::begin(&self.service).await.map_err(unavailable)?);
        }
        let Some(mut change) = change else {
            let record = crate::hypervisor::get(&self.service.read(), self.hypervisor_id).await;
            let present = record.map_err(unavailable)?.agent_id == Some(request.agent_id);
            return if present { Ok(Vec::new()) } else { Err(ProtocolError::NotRegistered) };
        };
        self.present(&change, request.agent_id).await?;
        let assignments = self.assign(&mut change, request).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(assignments)
    }

    async fn assign(
        &self,
        change: &mut Change<'_>,
        request: &ClaimRequest,
    ) -> Result<Vec<Assignment>, Error> {
        let queue = judge(&change.conn(), self.hypervisor_id, change.now).await?;
        let (mut assignments, mut captures) = (Vec::new(), 0);
        let max = usize::try_from(request.max.min(MAX_ASSIGNMENTS)).unwrap_or_default();
        for (id, verdict) in queue {
            if assignments.len() >= max {
                break;
            }
            if verdict != Verdict::Run {
                continue;
            }
            let Some(record) = task::get(&change.conn(), id).await.db()? else { continue };
            let capture = record.task.kind == TaskKind::ImageCapture;
            if capture && captures >= request.max_captures {
                continue;
            }
            if let Some(assignment) = self.assign_one(change, request.agent_id, id).await? {
                captures += u32::from(capture);
                assignments.push(assignment);
            }
        }
        Ok(assignments)
    }

    async fn assign_one(
        &self,
        change: &mut Change<'_>,
        agent_id: AgentId,
        id: TaskId,
    ) -> Result<Option<Assignment>, Error> {
        let until = change.now + TimeDelta::seconds(LEASE_S);
        if !task::claim(&change.tx, &Claim { id, agent_id, now: change.now, until }).await.db()? {
            return Ok(None);
        }
        let Some(mut record) = task::get(&change.conn(), id).await.db()? else { return Ok(None) };
        record.task.progress.phase = Phase::Preparing;
        record.task.started_at = record.task.started_at.or(Some(change.now));
        let work = match work::build(&change.conn(), &record).await {
            Ok(work) => work,
            Err(error) if error.code == Code::Unavailable => return Err(error),
            Err(error) => {
                tracing::warn!(task = %id, internal = error.internal, detail = error.detail, "cannot be carried out");
                let error = TaskError::new(TaskErrorCode::from(error.code), &error.detail);
                engine::attempt_failed(change, &mut record, error, Again::Never).await?;
                return Ok(None);
            }
        };
        change.queue_moved(&record);
        engine::save(change, &record).await?;
        Ok(Some(Assignment {
            task_id: id,
            fence: record.fence,
            attempt: record.task.attempts,
            lease_until: until,
            deadline: record.task.deadline,
            work,
        }))
    }
}
