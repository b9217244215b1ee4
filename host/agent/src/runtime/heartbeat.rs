//! Heartbeats: they prolong leases, and report the state of instances and image storages.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use imprint_agent_protocol::{HEARTBEAT_S, Heartbeat, HeldLease, ProtocolError, StorageRef, StorageReport};
use imprint_domain::size::ByteSize;
use imprint_ports::PortError;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    error::StopReason,
    machine::instance::InstanceDir,
    runtime::state::AgentState,
    sync::{blocking, lock},
};

/// The time that a storage has to report its free space.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends heartbeats until `end`.
pub(crate) async fn send_heartbeats(state: Arc<AgentState>, end: CancellationToken) {
    let mut ticks = interval(Duration::from_secs(HEARTBEAT_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(ticks.tick()).await.is_some() {
        end.run_until_cancelled(send_heartbeat(&state)).await;
    }
}

async fn send_heartbeat(state: &AgentState) {
    let bound = state.permitted.storages();
    let storages = join_all(bound.iter().map(|storage| probe_storage(state, storage))).await;
    let (folders, outbox) = (state.machine.folders.clone(), state.outbox.clone());
    let read = blocking(move || {
        let instances = InstanceDir::all(&folders).iter().map(InstanceDir::report).collect();
        (instances, outbox.leases())
    });
    let Ok((instances, unreported)) = read.await else { return };
    let leases = leases(state, unreported);
    let request = Heartbeat { agent_id: state.id, leases, instances, storages };
    match state.control_plane.heartbeat(request).await {
        Ok(answer) => {
            let running = lock(&state.running);
            let stop = |tasks: &[_], reason| {
                tasks.iter().filter_map(|task| running.get(task)).for_each(|job| job.control.stop(reason));
            };
            stop(&answer.lost, StopReason::LeaseLost);
            stop(&answer.cancelled, StopReason::Cancelled);
            drop(running);
            state.permitted.set_storages(answer.storages);
        }
        Err(ProtocolError::NotRegistered) => state.registration_lost.notify_one(),
        // Jobs continue: their results are stored, and reported later.
        Err(error) => warn!(%error, "cannot send a heartbeat"),
    }
}

/// Returns the leases of running jobs and of results that are not answered yet.
fn leases(state: &AgentState, unreported: Vec<HeldLease>) -> Vec<HeldLease> {
    let running = lock(&state.running);
    let of_jobs = running.iter().map(|(task, job)| HeldLease { task_id: *task, fence: job.fence });
    let mut seen = BTreeSet::new();
    of_jobs.chain(unreported).filter(|lease| seen.insert((lease.task_id, lease.fence))).collect()
}

async fn probe_storage(state: &AgentState, storage: &StorageRef) -> StorageReport {
    let unknown = StorageReport {
        id: storage.id,
        total: None,
        available: None,
        problem: None,
        read_only: false,
        marked: false,
    };
    let asked = async {
        let open = state.machine.storage(storage).await?;
        Ok::<_, PortError>((open.backend.space().await?, open))
    };
    match timeout(STORAGE_TIMEOUT, asked).await {
        Ok(Ok((space, open))) => StorageReport {
            total: space.and_then(|space| size(space.total)),
            available: space.and_then(|space| size(space.available)),
            read_only: open.is_read_only(),
            marked: open.is_marked(),
            ..unknown
        },
        Ok(Err(error)) => StorageReport { problem: Some(error.to_string()), ..unknown },
        Err(_) => {
            let problem = "the storage does not answer; check its mount or its network";
            StorageReport { problem: Some(problem.to_owned()), ..unknown }
        }
    }
}

fn size(bytes: u64) -> Option<ByteSize> {
    ByteSize::new(bytes).ok()
}
