//! A control plane that hands out given assignments and records every call.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::Utc;
use imprint_agent_protocol::{
    Assignment, AssignmentKind, ClaimRequest, ClaimResponse, ControlPlane, Finish, Heartbeat,
    HeartbeatResponse, ObjectKey, Outcome, ProgressReport, ProgressResponse, ProtocolError, Register,
    RegisterResponse, ReserveRequest, ReserveResponse, ScanReport, ScanResponse, ScannedObject,
    SecretsRequest, SecretsResponse, StorageRef,
};
use imprint_domain::{id::TaskId, secret::Secrets, task_error::TaskError};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::SOON;

/// The calls to the control plane, in their order.
#[derive(Default)]
pub(in crate::tests) struct Calls {
    pub(in crate::tests) registers: Vec<Register>,
    pub(in crate::tests) heartbeats: Vec<Heartbeat>,
    pub(in crate::tests) progress: Vec<ProgressReport>,
    pub(in crate::tests) finishes: Vec<Finish>,
    pub(in crate::tests) secrets: Vec<SecretsRequest>,
    pub(in crate::tests) scans: Vec<ScanReport>,
    pub(in crate::tests) reserved: Vec<ReserveRequest>,
}

/// How the control plane answers.
#[derive(Default)]
pub(in crate::tests) struct Script {
    pub(in crate::tests) refuse_finishes: Option<ProtocolError>,
    pub(in crate::tests) progress_error: Option<ProtocolError>,
    pub(in crate::tests) cancel: bool,
    pub(in crate::tests) refuse_room: Option<TaskError>,
    pub(in crate::tests) secrets: Secrets,
    /// The objects that a deep scan reads.
    pub(in crate::tests) digests: Vec<String>,
    /// The version of the storage's secrets in answers to heartbeats.
    pub(in crate::tests) secrets_version: u64,
    pub(in crate::tests) max_jobs: u32,
    pub(in crate::tests) max_captures: u32,
}

pub(in crate::tests) struct FakeControl {
    queue: Mutex<VecDeque<Assignment>>,
    queued: Notify,
    calls: watch::Sender<Calls>,
    pub(in crate::tests) script: Mutex<Script>,
    storage: StorageRef,
}

impl FakeControl {
    pub(in crate::tests) fn new(storage: StorageRef) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            queued: Notify::new(),
            calls: watch::Sender::new(Calls::default()),
            script: Mutex::new(Script { max_jobs: 4, max_captures: 1, ..Script::default() }),
            storage,
        })
    }

    pub(in crate::tests) fn give(&self, assignment: Assignment) {
        self.queue.lock().unwrap().push_back(assignment);
        self.queued.notify_one();
    }

    pub(in crate::tests) fn waiting(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// Waits until the calls meet a condition, and returns what it returns.
    pub(in crate::tests) async fn until<T>(&self, condition: impl Fn(&Calls) -> Option<T>) -> T {
        let mut calls = self.calls.subscribe();
        let seen = timeout(SOON, calls.wait_for(|calls| condition(calls).is_some()))
            .await
            .expect("in time")
            .unwrap();
        condition(&seen).unwrap()
    }

    pub(in crate::tests) async fn outcome(&self, task: TaskId) -> Outcome {
        self.until(|calls| {
            calls
                .finishes
                .iter()
                .find(|finish| finish.lease.task_id == task)
                .map(|finish| finish.outcome.clone())
        })
        .await
    }

    pub(in crate::tests) fn scans(&self) -> Vec<ScanReport> {
        self.calls.borrow().scans.clone()
    }

    pub(in crate::tests) fn finishes(&self) -> usize {
        self.calls.borrow().finishes.len()
    }
}

/// The key of the tokens that the agent's object server accepts.
pub(in crate::tests) fn object_key() -> ObjectKey {
    ObjectKey::derive(&[7; 32], "tests")
}

#[async_trait]
impl ControlPlane for FakeControl {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        self.calls.send_modify(|calls| calls.registers.push(request));
        let script = self.script.lock().unwrap();
        Ok(RegisterResponse {
            driver: "fake".parse().unwrap(),
            driver_settings: BTreeMap::from([("accelerator".to_owned(), "tcg".to_owned())]),
            max_jobs: script.max_jobs,
            max_captures: script.max_captures,
            storages: vec![self.storage.clone()],
            object_key: Some(object_key()),
            control_plane_time: Utc::now(),
        })
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        // Progress reports ask for it as well, but only during a copy.
        let cancel = self.script.lock().unwrap().cancel;
        let cancelled = request.leases.iter().filter(|_| cancel).map(|lease| lease.task_id).collect();
        self.calls.send_modify(|calls| calls.heartbeats.push(request));
        let secrets_version = self.script.lock().unwrap().secrets_version;
        let storages = vec![StorageRef { secrets_version, ..self.storage.clone() }];
        Ok(HeartbeatResponse { lost: Vec::new(), cancelled, storages })
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let wait = Duration::from_millis(u64::from(request.wait_ms));
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let mut assignments = Vec::new();
            {
                let mut queue = self.queue.lock().unwrap();
                let mut captures = request.max_captures;
                while assignments.len() < usize::try_from(request.max).unwrap() {
                    let fits =
                        |work: &Assignment| captures > 0 || !matches!(work.kind, AssignmentKind::Capture(_));
                    let Some(index) = queue.iter().position(fits) else { break };
                    let assignment = queue.remove(index).unwrap();
                    if matches!(assignment.kind, AssignmentKind::Capture(_)) {
                        captures -= 1;
                    }
                    assignments.push(assignment);
                }
            }
            if !assignments.is_empty()
                || tokio::time::timeout_at(deadline, self.queued.notified()).await.is_err()
            {
                let max_captures = Some(self.script.lock().unwrap().max_captures);
                return Ok(ClaimResponse { assignments, max_captures });
            }
        }
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        let answer = {
            let script = self.script.lock().unwrap();
            script.progress_error.clone().map_or(Ok(ProgressResponse { cancel: script.cancel }), Err)
        };
        self.calls.send_modify(|calls| calls.progress.push(report));
        answer
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        let refused = self.script.lock().unwrap().refuse_finishes.clone();
        self.calls.send_modify(|calls| calls.finishes.push(report));
        refused.map_or(Ok(()), Err)
    }

    async fn secrets(&self, request: SecretsRequest) -> Result<SecretsResponse, ProtocolError> {
        self.calls.send_modify(|calls| calls.secrets.push(request));
        Ok(SecretsResponse { secrets: self.script.lock().unwrap().secrets.clone() })
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, ProtocolError> {
        let refused = self.script.lock().unwrap().refuse_room.clone();
        self.calls.send_modify(|calls| calls.reserved.push(request));
        Ok(refused.map_or(ReserveResponse::Granted, |error| ReserveResponse::Refused { error }))
    }

    async fn scanned(&self, report: ScanReport) -> Result<ScanResponse, ProtocolError> {
        let script = self.script.lock().unwrap();
        let wanted = |object: &ScannedObject| script.digests.contains(&object.key);
        let digest =
            report.objects.iter().filter(|object| wanted(object)).map(|object| object.key.clone()).collect();
        self.calls.send_modify(|calls| calls.scans.push(report));
        Ok(ScanResponse { digest })
    }
}
