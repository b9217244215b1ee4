//! Who is waiting for what: followers of events and agents that wait for work, within this process.
//! Other control planes are noticed by looking again every second.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use imprint_domain::id::{AccountId, HypervisorId};
use tokio::sync::{Notify, broadcast};

/// How often what other control planes wrote is looked for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wake-ups that a slow follower may fall behind before it simply looks again.
const BACKLOG: usize = 256;

/// Wakes those who wait.
pub(crate) struct Hub {
    events: broadcast::Sender<AccountId>,
    work: Mutex<HashMap<HypervisorId, Arc<Notify>>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(BACKLOG), work: Mutex::default() }
    }
}

impl Hub {
    /// Tells that an account has new events.
    pub(crate) fn wake_followers(&self, account: AccountId) {
        // Nobody listening is fine.
        let _listeners = self.events.send(account);
    }

    /// Hears of new events from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<AccountId> {
        self.events.subscribe()
    }

    /// Tells that a hypervisor's queue changed.
    pub(crate) fn wake_agent(&self, hypervisor: HypervisorId) {
        self.agent(hypervisor).notify_waiters();
    }

    /// What a hypervisor's agent waits on. One entry a hypervisor, as many as there are rows.
    pub(crate) fn agent(&self, hypervisor: HypervisorId) -> Arc<Notify> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(work.entry(hypervisor).or_default())
    }
}

/// Waits until an account has new events, or until it is time to look again. Cancel-safe.
pub(crate) async fn news(
    receiver: &mut broadcast::Receiver<AccountId>,
    account: AccountId,
    at_most: Duration,
) {
    let heard = async {
        loop {
            match receiver.recv().await {
                Ok(other) if other != account => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    // Late or not: the caller looks again.
    let _in_time = tokio::time::timeout(at_most.min(LOOK_AGAIN), heard).await;
}
