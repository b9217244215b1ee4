//! Signs of life: they prolong leases, and tell what instances and storages look like.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use imprint_agent_protocol::{HEARTBEAT_S, Heartbeat, HeldLease, ProtocolError, StorageRef, StorageReport};
use imprint_domain::size::ByteSize;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    agent::{Shared, lock_of},
    error::StopReason,
    instance::Home,
    machine::blocking,
};

/// How long a storage may take to say how much room it has.
const SPACE: Duration = Duration::from_secs(3);

pub(crate) async fn keep_beating(shared: Arc<Shared>, end: CancellationToken) {
    let mut beats = interval(Duration::from_secs(HEARTBEAT_S));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(beats.tick()).await.is_some() {
        end.run_until_cancelled(beat(&shared)).await;
    }
}

async fn beat(shared: &Shared) {
    let wanted = lock_of(&shared.storages).clone();
    let storages = join_all(wanted.iter().map(|storage| look_at(shared, storage))).await;
    let (folders, outbox) = (shared.machine.folders.clone(), shared.outbox.clone());
    let looked = blocking(move || {
        let instances = Home::all(&folders).iter().map(Home::report).collect();
        (instances, outbox.leases())
    });
    let Ok((instances, unreported)) = looked.await else { return };
    let leases = leases(shared, unreported);
    let request = Heartbeat { agent_id: shared.id, leases, instances, storages };
    match shared.control_plane.heartbeat(request).await {
        Ok(answer) => {
            let running = lock_of(&shared.running);
            let stop = |tasks: &[_], reason| {
                tasks.iter().filter_map(|task| running.get(task)).for_each(|work| work.control.stop(reason));
            };
            stop(&answer.lost, StopReason::LeaseLost);
            stop(&answer.cancelled, StopReason::Cancelled);
            drop(running);
            *lock_of(&shared.storages) = answer.storages;
        }
        Err(ProtocolError::NotRegistered) => shared.unknown.notify_one(),
        // Work goes on: what it makes is kept, and reported later.
        Err(error) => warn!(%error, "no heartbeat"),
    }
}

/// Of the work in hand, and of results that are not answered yet.
fn leases(shared: &Shared, unreported: Vec<HeldLease>) -> Vec<HeldLease> {
    let running = lock_of(&shared.running);
    let in_hand = running.iter().map(|(task, work)| HeldLease { task_id: *task, fence: work.fence });
    let mut seen = BTreeSet::new();
    in_hand.chain(unreported).filter(|lease| seen.insert((lease.task_id, lease.fence))).collect()
}

async fn look_at(shared: &Shared, storage: &StorageRef) -> StorageReport {
    let report = |total, available, problem| StorageReport { id: storage.id, total, available, problem };
    let asked = async { shared.machine.storage(storage).await?.space().await };
    match timeout(SPACE, asked).await {
        Ok(Ok(Some(space))) => report(size(space.total), size(space.available), None),
        Ok(Ok(None)) => report(None, None, None),
        Ok(Err(error)) => report(None, None, Some(error.to_string())),
        Err(_) => {
            report(None, None, Some("the storage does not answer; check its mount or its network".to_owned()))
        }
    }
}

fn size(bytes: u64) -> Option<ByteSize> {
    ByteSize::new(bytes).ok()
}
