//! Hypervisors: machines that run instances, each with an agent.

use crate::{
    id::{HypervisorId, LocationId},
    name::Name,
    time::Timestamp,
};

/// Without a heartbeat for this long an agent counts as offline, in seconds.
pub const OFFLINE_AFTER_S: i64 = 45;

/// A hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypervisor {
    /// Its id.
    pub id: HypervisorId,
    /// Its name; unique.
    pub name: Name,
    /// Where it stands.
    pub location_id: LocationId,
    /// The driver that speaks to it: `qemu`.
    pub driver: String,
    /// Captures that may run on it at once (S28).
    pub max_captures: u32,
    /// The last sign of life of its agent.
    pub last_seen_at: Option<Timestamp>,
}

impl Hypervisor {
    /// Whether its agent has given a sign of life lately.
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.last_seen_at.is_some_and(|seen| (now - seen).num_seconds() < OFFLINE_AFTER_S)
    }
}
