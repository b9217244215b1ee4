//! The agents' side: the protocol that `service` implements, for one hypervisor.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use imprint_agent_protocol::{
    Assignment, ClaimRequest, ClaimResponse, ControlPlane, Finish, Heartbeat, HeartbeatResponse, HeldLease,
    MAX_CLAIM_WAIT_MS, ObjectKey, PROTOCOL_VERSION, Peer, ProgressReport, ProgressResponse, ProtocolError,
    Register, RegisterResponse, ReserveRequest, ReserveResponse, ScanReport, ScanResponse, SecretsRequest,
    SecretsResponse, StorageRef,
};
use imprint_domain::{
    Code, Error,
    id::{AgentId, HypervisorId, StorageId, TaskId},
    secret::Secrets,
    size::ByteSize,
    storage::StorageHealth,
    task::{Progress, RetryPolicy, TaskKind, TaskState},
    task_error::{TaskError, TaskErrorCode},
};
use imprint_store::{
    Conn,
    hypervisor::{self, HypervisorRecord},
    instance,
    secret::of_task,
    storage, storage_health,
    task::{self, TaskRecord},
};
use tokio::time::Instant;

use crate::{
    Service,
    catalogue::{storage_kind, storage_secrets},
    change::Change,
    db_result::DbResult,
    objects,
    secrets::seal,
    storages::{bring, reservation, scan},
    tasks::{
        finish,
        hub::POLL_INTERVAL,
        lease::{holds_lease, leased_task, refused, unavailable},
        lifecycle,
        payload::{self, TaskPayload},
        scheduler::{Decision, MAX_SCANNED, schedule},
        storage_ref::storage_ref,
    },
    validate,
};

/// The most assignments in one answer.
const MAX_ASSIGNMENTS: u32 = 64;
/// The most entries of a list in a report.
const MAX_ENTRIES: usize = 10_000;
/// The stored length of a text that an agent reports, in bytes.
const MAX_TEXT: usize = 2048;

impl Service {
    /// Returns the control plane for the agent of one hypervisor: in process, or behind
    /// `/api/v1/agent/...` after [`Service::agent_authenticate`].
    pub fn control_plane(&self, peer: Peer) -> Arc<dyn ControlPlane> {
        Arc::new(Handle { service: self.clone(), hypervisor_id: peer.hypervisor_id })
    }
}

struct Handle {
    service: Service,
    hypervisor_id: HypervisorId,
}

#[async_trait]
impl ControlPlane for Handle {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        if request.protocol != PROTOCOL_VERSION {
            return Err(ProtocolError::Version { agent: request.protocol, control_plane: PROTOCOL_VERSION });
        }
        self.accept_registration(request).await.map_err(unavailable)
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        let lists = [request.leases.len(), request.instances.len(), request.storages.len()];
        if lists.into_iter().any(|length| length > MAX_ENTRIES) {
            return Err(refused(format!("a list has at most {MAX_ENTRIES} entries")));
        }
        let mut change = Change::begin(&self.service).await.map_err(unavailable)?;
        let record = self.registered_hypervisor(&change, request.agent_id).await?;
        if record.object_key_id != self.service.object_key_id() {
            // It registers again, and gets the key of the tokens that are made from now on.
            return Err(ProtocolError::NotRegistered);
        }
        let answer = self.apply_heartbeat(&mut change, record, request).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(answer)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let wait = Duration::from_millis(u64::from(request.wait_ms.min(MAX_CLAIM_WAIT_MS)));
        let until = Instant::now() + wait;
        let notify = self.service.hub().agent(self.hypervisor_id);
        loop {
            let mut woken = std::pin::pin!(notify.notified());
            // Enabled before the queue is read, so that no change is missed in between.
            woken.as_mut().enable();
            let assignments = Box::pin(self.claim_now(&request)).await?;
            let max_captures = self.max_captures().await.map_err(unavailable)?;
            let is_news = request.known_captures.is_some_and(|known| known != max_captures);
            let left = until.saturating_duration_since(Instant::now());
            if !assignments.is_empty() || is_news || left.is_zero() {
                return Ok(ClaimResponse { assignments, max_captures: Some(max_captures) });
            }
            // Woken or not, the queue is read again: another control plane may have queued a task.
            let _in_time = tokio::time::timeout(left.min(POLL_INTERVAL), woken).await;
        }
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        let mut change = Change::begin(&self.service).await.map_err(unavailable)?;
        let mut record = leased_task(&change, self.hypervisor_id, report.agent_id, report.lease).await?;
        let progress =
            Progress { phase: report.phase, bytes_done: report.bytes_done, bytes_total: report.bytes_total };
        record.task.report_progress(progress, change.now);
        record.task.extend_lease(change.now);
        lifecycle::save(&mut change, &record).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(ProgressResponse { cancel: record.task.cancel_requested })
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        Box::pin(finish::finish(&self.service, self.hypervisor_id, report)).await
    }

    async fn secrets(&self, request: SecretsRequest) -> Result<SecretsResponse, ProtocolError> {
        let secrets = match request {
            SecretsRequest::Storage { id } => self.secrets_of_storage(id).await?,
            SecretsRequest::Task { lease } => self.secrets_of_task(lease).await?,
        };
        Ok(SecretsResponse { secrets })
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, ProtocolError> {
        let mut change = Change::begin(&self.service).await.map_err(unavailable)?;
        let record = self.held_task(&change.conn(), request.lease).await?;
        if record.task.kind != TaskKind::ImageImport {
            return Err(refused("the task reserves what it needs when it is queued"));
        }
        let reserving = self.service.reserve_for_import(&mut change, &record, request);
        let answer = reserving.await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(answer)
    }

    async fn scanned(&self, report: ScanReport) -> Result<ScanResponse, ProtocolError> {
        scan::scanned(&self.service, self.hypervisor_id, report).await
    }
}

fn truncate(text: &str) -> String {
    validate::truncate(text, MAX_TEXT)
}

impl Handle {
    /// Returns the number of captures that may run on the hypervisor at once.
    async fn max_captures(&self) -> Result<u32, Error> {
        let record = crate::catalogue::hypervisor::get(&self.service.read(), self.hypervisor_id).await?;
        Ok(record.hypervisor.max_captures)
    }

    async fn accept_registration(&self, request: Register) -> Result<RegisterResponse, Error> {
        let mut change = Change::begin(&self.service).await?;
        let mut record = crate::catalogue::hypervisor::get(&change.conn(), self.hypervisor_id).await?;
        record.agent_id = Some(request.agent_id);
        record.agent_version = Some(truncate(&request.version));
        record.plugins =
            request.plugins.into_iter().take(64).map(|(k, v)| (truncate(&k), truncate(&v))).collect();
        record.findings = request.findings.iter().take(64).map(|finding| truncate(finding)).collect();
        record.hypervisor.last_seen_at = Some(change.now);
        record.objects = objects::stored(request.objects);
        record.object_key_id = self.service.object_key_id();
        let driver = record.hypervisor.driver.as_str();
        record.changes_devices = request.drivers_with_devices.iter().any(|name| name == driver);
        hypervisor::update(&change.tx, &record).await.db()?;
        storage_kind::store_report(&change, self.hypervisor_id, request.storage_kinds).await?;
        let running =
            task::of_hypervisor(&change.conn(), self.hypervisor_id, TaskState::Running, MAX_SCANNED)
                .await
                .db()?;
        for mut orphan in running {
            if orphan.task.lease.is_some_and(|lease| lease.agent_id != request.agent_id) {
                let detail = "another process of the agent registered";
                let error = TaskError::new(TaskErrorCode::AgentRestarted, detail);
                let held = HeldLease { task_id: orphan.task.id, fence: orphan.task.fence };
                if request.advanced.contains(&held) {
                    orphan.task.grant_attempt();
                }
                lifecycle::attempt_failed(&mut change, &mut orphan, error, RetryPolicy::Immediately).await?;
            }
        }
        let answer = RegisterResponse {
            driver: record.hypervisor.driver.clone(),
            driver_settings: record.driver_settings.clone(),
            max_jobs: record.max_work,
            max_captures: record.hypervisor.max_captures,
            storages: self.bound(&change).await?,
            object_key: self.object_key(&record),
            control_plane_time: change.now,
        };
        change.commit().await?;
        Ok(answer)
    }

    fn object_key(&self, record: &HypervisorRecord) -> Option<ObjectKey> {
        self.service.object_key(self.hypervisor_id, record.object_key_id.as_deref()?)
    }

    /// Opens the secrets of a storage that is bound to the hypervisor.
    async fn secrets_of_storage(&self, id: StorageId) -> Result<Secrets, ProtocolError> {
        let conn = self.service.read();
        let bound = storage::bound_hypervisors(&conn, id).await.db().map_err(unavailable)?;
        if !bound.contains(&self.hypervisor_id) {
            return Err(refused("the image storage is not bound to this hypervisor"));
        }
        storage_secrets::open(&self.service, &conn, id).await.map_err(unavailable)
    }

    /// Reads the task under a lease that the hypervisor holds, whichever process of its agent asks.
    async fn held_task(&self, conn: &Conn<'_>, lease: HeldLease) -> Result<TaskRecord, ProtocolError> {
        let found = task::get(conn, lease.task_id).await.db().map_err(unavailable)?;
        let held = found.filter(|record| {
            let current = record.task.lease.is_some_and(|held| held.fence == lease.fence);
            current && record.task.hypervisor_id == self.hypervisor_id
        });
        held.ok_or(ProtocolError::LeaseLost)
    }

    /// Opens the secrets of a task: of the server that it imports from, or of the storage that it
    /// tests or exports to. Where a test has none of a name, the stored one is taken.
    async fn secrets_of_task(&self, lease: HeldLease) -> Result<Secrets, ProtocolError> {
        let conn = self.service.read();
        let record = self.held_task(&conn, lease).await?;
        let stored = match TaskPayload::of(&record).map_err(unavailable)? {
            TaskPayload::StorageTest(subject) => subject.storage_id,
            TaskPayload::Import { .. } | TaskPayload::Export { destination: Some(_), .. } => None,
            TaskPayload::Export { destination: None, .. }
            | TaskPayload::Plain
            | TaskPayload::Capture { .. }
            | TaskPayload::Deploy { .. }
            | TaskPayload::Move { .. }
            | TaskPayload::Object { .. }
            | TaskPayload::Scan { .. }
            | TaskPayload::Clean { .. }
            | TaskPayload::Iso { .. }
            | TaskPayload::Devices(_) => {
                return Err(refused("the task has no secrets"));
            }
        };
        let mut secrets = match stored {
            Some(id) => storage_secrets::open(&self.service, &conn, id).await.map_err(unavailable)?,
            None => Secrets::new(),
        };
        let sealed = of_task::list(&conn, lease.task_id).await.db().map_err(unavailable)?;
        let keys = &self.service.settings().secret_keys;
        secrets.extend(seal::open_all(keys, &lease.task_id, &sealed).map_err(unavailable)?);
        Ok(secrets)
    }

    async fn bound(&self, change: &Change<'_>) -> Result<Vec<StorageRef>, Error> {
        let bound = storage::of_hypervisor(&change.conn(), self.hypervisor_id).await.db()?;
        Ok(bound.iter().map(storage_ref).collect())
    }

    /// Reads the hypervisor, if this agent process is its current one.
    async fn registered_hypervisor(
        &self,
        change: &Change<'_>,
        id: AgentId,
    ) -> Result<HypervisorRecord, ProtocolError> {
        let record = crate::catalogue::hypervisor::get(&change.conn(), self.hypervisor_id)
            .await
            .map_err(unavailable)?;
        if record.agent_id == Some(id) { Ok(record) } else { Err(ProtocolError::NotRegistered) }
    }

    async fn apply_heartbeat(
        &self,
        change: &mut Change<'_>,
        mut record: HypervisorRecord,
        request: Heartbeat,
    ) -> Result<HeartbeatResponse, Error> {
        record.hypervisor.last_seen_at = Some(change.now);
        hypervisor::update(&change.tx, &record).await.db()?;
        let (lost, cancelled) = self.extend_leases(change, &request).await?;
        self.record_instances(change, &request).await?;
        self.record_storages(change, &request).await?;
        Ok(HeartbeatResponse { lost, cancelled, storages: self.bound(change).await? })
    }

    /// Extends the leases that are held. Without an event: a longer lease changes nothing that is
    /// shown.
    async fn extend_leases(
        &self,
        change: &Change<'_>,
        request: &Heartbeat,
    ) -> Result<(Vec<TaskId>, Vec<TaskId>), Error> {
        let (mut lost, mut cancelled) = (Vec::new(), Vec::new());
        for lease in &request.leases {
            let found = task::get(&change.conn(), lease.task_id).await.db()?;
            let Some(mut record) =
                found.filter(|record| holds_lease(record, self.hypervisor_id, request.agent_id, lease.fence))
            else {
                lost.push(lease.task_id);
                continue;
            };
            if record.task.cancel_requested {
                cancelled.push(lease.task_id);
            }
            record.task.extend_lease(change.now);
            task::update_lease(&change.tx, &record).await.db()?;
        }
        Ok((lost, cancelled))
    }

    async fn record_instances(&self, change: &mut Change<'_>, request: &Heartbeat) -> Result<(), Error> {
        for report in &request.instances {
            let found = instance::get(&change.conn(), report.id).await.db()?;
            let ours = found.filter(|record| record.instance.hypervisor_id == self.hypervisor_id);
            let Some(mut record) = ours else { continue };
            let mut is_larger = false;
            if let Some(size) = report.disk_allocated {
                instance::set_allocated(&change.tx, report.id, size).await.db()?;
                is_larger = record.instance.observe_content(size);
            }
            let is_switched = record.instance.observe_power(report.power);
            let has_other_card = record.instance.observe_network(report.network.clone());
            if is_larger || is_switched || has_other_card {
                instance::update(&change.tx, &record).await.db()?;
            }
            if !is_switched && !has_other_card {
                continue;
            }
            change.instance_changed(&record).await?;
        }
        Ok(())
    }

    async fn record_storages(&self, change: &mut Change<'_>, request: &Heartbeat) -> Result<(), Error> {
        let bound = storage::of_hypervisor(&change.conn(), self.hypervisor_id).await.db()?;
        let before = storage_health::of_hypervisor(&change.conn(), self.hypervisor_id).await.db()?;
        for record in bound {
            let id = record.storage.id;
            let Some(report) = request.storages.iter().find(|report| report.id == id) else { continue };
            let health = StorageHealth {
                hypervisor_id: self.hypervisor_id,
                total: report.total,
                available: report.available,
                read_only: report.read_only,
                problem: report.problem.as_deref().map(truncate),
                seen_at: change.now,
            };
            storage_health::put(&change.tx, id, &health).await.db()?;
            // Without what is reserved: that changes with tasks, which have their own events.
            let class_of = |health: &StorageHealth| health.class(&record.storage, ByteSize::ZERO, change.now);
            let was = before.iter().find(|(of, _)| *of == id).map(|(_, health)| class_of(health));
            if was != Some(class_of(&health)) {
                change.storage_changed(id).await?;
            }
            let reports = storage_health::of_storages(&change.conn(), &[id]).await.db()?;
            let counting = reports.iter().filter(|(_, report)| report.available.is_some());
            if let Some(oldest) = counting.map(|(_, report)| report.seen_at).min() {
                reservation::reported(change, id, oldest).await?;
            }
            if report.marked && record.marked_at.is_none() {
                storage::mark(&change.tx, id, change.now).await.db()?;
            }
        }
        Ok(())
    }

    async fn claim_now(&self, request: &ClaimRequest) -> Result<Vec<Assignment>, ProtocolError> {
        // First without the write lock: most of the time there is nothing to claim.
        let now = self.service.now();
        let queue = schedule(&self.service.read(), self.hypervisor_id, now).await.map_err(unavailable)?;
        let mut change = None;
        if queue.iter().any(|(_, decision)| *decision == Decision::Run) {
            change = Some(Change::begin(&self.service).await.map_err(unavailable)?);
        }
        let Some(mut change) = change else {
            let record = crate::catalogue::hypervisor::get(&self.service.read(), self.hypervisor_id).await;
            let present = record.map_err(unavailable)?.agent_id == Some(request.agent_id);
            return if present { Ok(Vec::new()) } else { Err(ProtocolError::NotRegistered) };
        };
        self.registered_hypervisor(&change, request.agent_id).await?;
        // On the heap, as what follows is: all of it on one stack is too much for a thread's.
        let assignments = Box::pin(self.assign(&mut change, request)).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        Ok(assignments)
    }

    async fn assign(
        &self,
        change: &mut Change<'_>,
        request: &ClaimRequest,
    ) -> Result<Vec<Assignment>, Error> {
        let queue = schedule(&change.conn(), self.hypervisor_id, change.now).await?;
        let (mut assignments, mut captures) = (Vec::new(), 0);
        let max = usize::try_from(request.max.min(MAX_ASSIGNMENTS)).unwrap_or_default();
        for (id, decision) in queue {
            if assignments.len() >= max {
                break;
            }
            if decision != Decision::Run {
                continue;
            }
            let Some(record) = task::get(&change.conn(), id).await.db()? else { continue };
            let capture = record.task.kind.spec().counts_as_capture;
            if capture && captures >= request.max_captures {
                continue;
            }
            if let Some(assignment) = Box::pin(self.assign_one(change, request.agent_id, record)).await? {
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
        mut record: TaskRecord,
    ) -> Result<Option<Assignment>, Error> {
        let id = record.task.id;
        let limit = TimeDelta::hours(self.service.settings().capture_limit_h.into());
        record.task.start_clock(limit, change.now);
        record.task.claim(agent_id, change.now)?;
        if !task::claim(&change.tx, &record).await.db()? {
            return Ok(None);
        }
        let Some(mut record) = task::get(&change.conn(), id).await.db()? else { return Ok(None) };
        let work = match payload::build(change, &record).await {
            Ok(work) => work,
            Err(error) if error.code == Code::Unavailable => return Err(error),
            Err(error) => {
                tracing::warn!(task = %id, internal = error.internal, detail = error.detail, "the task cannot be assigned");
                // The agent that serves the image may come back; a copy that others can make does
                // not wait for it.
                let retry = if error.code == Code::HypervisorOffline {
                    bring::bring_for(change, &record.task).await?;
                    RetryPolicy::AfterPause
                } else {
                    RetryPolicy::Never
                };
                let error = TaskError::new(TaskErrorCode::from(error.code), &error.detail);
                lifecycle::attempt_failed(change, &mut record, error, retry).await?;
                return Ok(None);
            }
        };
        change.queue_reordered(&record);
        change.task_changed(&record).await?;
        Ok(Some(Assignment {
            task_id: id,
            fence: record.task.fence,
            attempt: record.task.attempts,
            lease_until: record.task.lease.map_or(change.now, |lease| lease.until),
            deadline: record.task.deadline,
            kind: work,
        }))
    }
}
