//! Hypervisors: machines that run instances, each with an agent.

use crate::{
    id::{HypervisorId, LocationId},
    name::Name,
    plugin_kind::DriverKind,
    time::Timestamp,
};

/// The time without a heartbeat after which an agent counts as offline, in seconds.
pub const OFFLINE_AFTER_S: i64 = 45;

/// A hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypervisor {
    /// The hypervisor's id.
    pub id: HypervisorId,
    /// The unique name.
    pub name: Name,
    /// The location of the machine.
    pub location_id: LocationId,
    /// The plugin that controls it.
    pub driver: DriverKind,
    /// The number of captures that may run on it at once (S28).
    pub max_captures: u32,
    /// Whether it is older hardware with limited bandwidth for imaging: failed captures then say
    /// what its customers can do (S47).
    pub limited_bandwidth: bool,
    /// When its agent called last.
    pub last_seen_at: Option<Timestamp>,
    /// Increases with every change by an admin; the ETag.
    pub version: u32,
}

impl Hypervisor {
    /// Counts a change by an admin.
    pub const fn count_version(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// Returns whether its agent has called within the last [`OFFLINE_AFTER_S`] seconds.
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.last_seen_at.is_some_and(|seen| (now - seen).num_seconds() < OFFLINE_AFTER_S)
    }
}
