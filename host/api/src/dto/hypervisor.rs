//! Hypervisors.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::id::{HypervisorId, LocationId, StorageId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A hypervisor, as much of it as a customer needs to deploy on it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hypervisor {
    /// Its id.
    #[schema(value_type = String, example = "hyp_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: HypervisorId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    #[schema(value_type = String, example = "loc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub location_id: LocationId,
    /// Whether its agent reports.
    pub online: bool,
}

/// A hypervisor, as the operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminHypervisor {
    /// Its id.
    #[schema(value_type = String, example = "hyp_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: HypervisorId,
    /// Its name; unique.
    pub name: String,
    /// Where it stands.
    #[schema(value_type = String, example = "loc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub location_id: LocationId,
    /// The driver that speaks to it.
    pub driver: String,
    /// Settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// Pieces of work that may run on it at once.
    pub max_work: u32,
    /// Captures that may run on it at once.
    pub max_captures: u32,
    /// Whether its agent reports.
    pub online: bool,
    /// When its agent reported last.
    #[schema(required)]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The version of its agent.
    #[schema(required)]
    pub agent_version: Option<String>,
    /// The plugins of its agent: id to version.
    pub plugins: BTreeMap<String, String>,
    /// What is missing on the machine, for people.
    pub findings: Vec<String>,
    /// The image storages bound to it.
    #[schema(value_type = Vec<String>)]
    pub storage_ids: Vec<StorageId>,
}

/// Makes a hypervisor known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HypervisorCreate {
    /// Its name; unique.
    #[schema(max_length = 128)]
    pub name: String,
    /// Where it stands.
    #[schema(value_type = String)]
    pub location_id: LocationId,
    /// The driver that speaks to it.
    #[serde(default = "default_driver")]
    #[schema(default = "qemu", max_length = 64)]
    pub driver: String,
    /// Settings of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub driver_settings: BTreeMap<String, String>,
    /// Pieces of work that may run on it at once; without it, 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub max_work: Option<u32>,
    /// Captures that may run on it at once; without it, 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub max_captures: Option<u32>,
}

fn default_driver() -> String {
    "qemu".to_owned()
}

/// The secret of a hypervisor's agent, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentToken {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TokenId,
    /// The hypervisor that it speaks for.
    #[schema(value_type = String)]
    pub hypervisor_id: HypervisorId,
    /// Goes into the file that `imprint agent --token-file` reads; keep it secret.
    pub token: String,
}
