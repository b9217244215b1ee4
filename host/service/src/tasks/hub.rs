//! Wakes followers of events and agents that wait for tasks, within this process. Changes by other
//! control planes are found by polling every second.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use imprint_domain::id::{AccountId, HypervisorId};
use tokio::sync::{Notify, broadcast};

/// The interval of polling for changes by other control planes.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The number of wake-ups that a slow follower may miss before it reads everything anew.
const BACKLOG: usize = 256;

/// The waiting followers and agents.
pub(crate) struct Hub {
    events: broadcast::Sender<AccountId>,
    agents: Mutex<HashMap<HypervisorId, Arc<Notify>>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(BACKLOG), agents: Mutex::default() }
    }
}

impl Hub {
    /// Wakes the followers of an account, which has new events.
    pub(crate) fn wake_followers(&self, account: AccountId) {
        // No follower is no error.
        let _listeners = self.events.send(account);
    }

    /// Subscribes to wake-ups from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<AccountId> {
        self.events.subscribe()
    }

    /// Wakes the agent of a hypervisor, whose queue changed.
    pub(crate) fn wake_agent(&self, hypervisor: HypervisorId) {
        self.agent(hypervisor).notify_waiters();
    }

    /// Returns what a hypervisor's agent waits on. There is one entry for each hypervisor, so as
    /// many as there are rows.
    pub(crate) fn agent(&self, hypervisor: HypervisorId) -> Arc<Notify> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(agents.entry(hypervisor).or_default())
    }
}

/// Waits until an account has new events, or until it is time to poll. Cancel-safe.
pub(crate) async fn wait_for_change(
    receiver: &mut broadcast::Receiver<AccountId>,
    account: AccountId,
    at_most: Duration,
) {
    let woken = async {
        loop {
            match receiver.recv().await {
                Ok(other) if other != account => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    // Woken or not: the caller reads the events.
    let _in_time = tokio::time::timeout(at_most.min(POLL_INTERVAL), woken).await;
}
