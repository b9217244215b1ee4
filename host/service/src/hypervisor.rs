//! Hypervisors.

use std::{collections::BTreeMap, sync::Arc};

use imprint_agent_protocol::{ControlPlane, Peer};
use imprint_domain::{
    Error,
    id::{HypervisorId, LocationId, StorageId},
    name::Name,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service};

/// A hypervisor, as customers see it: what choosing one needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HypervisorView {
    /// Its id.
    pub id: HypervisorId,
    /// Its name.
    pub name: Name,
    /// Where it stands.
    pub location_id: LocationId,
    /// Whether its agent gave a sign of life lately.
    pub online: bool,
}

/// A hypervisor, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminHypervisorView {
    /// Its id.
    pub id: HypervisorId,
    /// Its name.
    pub name: Name,
    /// Where it stands.
    pub location_id: LocationId,
    /// `qemu`.
    pub driver: String,
    /// Settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// Pieces of work that may run on it at once.
    pub max_work: u32,
    /// Captures that may run on it at once (S28).
    pub max_captures: u32,
    /// Whether its agent gave a sign of life lately.
    pub online: bool,
    /// The last sign of life.
    pub last_seen_at: Option<Timestamp>,
    /// The agent's version.
    pub agent_version: Option<String>,
    /// Its plugins: id to version.
    pub plugins: BTreeMap<String, String>,
    /// What is missing on the machine, for people.
    pub findings: Vec<String>,
    /// Storages bound to it.
    pub storage_ids: Vec<StorageId>,
}

/// A new hypervisor.
#[derive(Clone, Debug)]
pub struct HypervisorCreate {
    /// Unique.
    pub name: Name,
    /// Where it stands.
    pub location_id: LocationId,
    /// `qemu`.
    pub driver: String,
    /// Settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// Pieces of work at once; `None` takes 4.
    pub max_work: Option<u32>,
    /// Captures at once (S28); `None` takes 2.
    pub max_captures: Option<u32>,
}

impl Service {
    /// All hypervisors, oldest first.
    pub async fn hypervisor_list(&self, op: &Op, page: &PageRequest) -> Result<Page<HypervisorView>, Error> {
        pending!(op, page)
    }

    /// All hypervisors with what admins need. Admins only.
    pub async fn admin_hypervisor_list(
        &self,
        op: &Op,
        page: &PageRequest,
    ) -> Result<Page<AdminHypervisorView>, Error> {
        pending!(op, page)
    }

    /// One hypervisor. Admins only.
    pub async fn admin_hypervisor_show(
        &self,
        op: &Op,
        id: HypervisorId,
    ) -> Result<AdminHypervisorView, Error> {
        pending!(op, id)
    }

    /// Creates a hypervisor. Admins only; `name_taken`.
    pub async fn hypervisor_create(
        &self,
        op: &Op,
        request: HypervisorCreate,
    ) -> Result<AdminHypervisorView, Error> {
        pending!(op, request)
    }

    /// The agents' side, for the agent of one hypervisor: in process, or behind `/agent/...` after [`Service::agent_authenticate`].
    pub fn control_plane(&self, peer: Peer) -> Arc<dyn ControlPlane> {
        crate::agent::handle(self, peer)
    }
}
