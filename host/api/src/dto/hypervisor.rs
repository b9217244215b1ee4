//! Hypervisors.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::id::{HypervisorId, LocationId, StorageId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A hypervisor, as customers see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hypervisor {
    /// The id of the hypervisor.
    pub id: HypervisorId,
    /// The name of the hypervisor.
    pub name: String,
    /// The location of the hypervisor.
    pub location_id: LocationId,
    /// Whether the agent of the hypervisor is connected.
    pub online: bool,
}

/// A hypervisor, as administrators see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminHypervisor {
    /// The id of the hypervisor.
    pub id: HypervisorId,
    /// The name of the hypervisor; unique.
    pub name: String,
    /// The location of the hypervisor.
    pub location_id: LocationId,
    /// The name of the driver that controls the hypervisor.
    pub driver: String,
    /// The settings of the driver.
    pub driver_settings: BTreeMap<String, String>,
    /// The most tasks that run on the hypervisor at the same time.
    pub max_work: u32,
    /// The most captures that run on the hypervisor at the same time.
    pub max_captures: u32,
    /// Whether the hypervisor is older hardware with limited bandwidth for imaging: failed captures
    /// then advise to migrate to a newer flavor, or to use a file-level backup tool.
    pub limited_imaging_bandwidth: bool,
    /// Whether the agent of the hypervisor is connected.
    pub online: bool,
    /// The time of the agent's last heartbeat.
    #[schema(required)]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The version of the agent.
    #[schema(required)]
    pub agent_version: Option<String>,
    /// The plugins of the agent: id to version.
    pub plugins: BTreeMap<String, String>,
    /// Human-readable problems of the machine, such as missing programs.
    pub findings: Vec<String>,
    /// The address, `HOST:PORT`, at which the agent of the hypervisor serves the objects of its
    /// image storages; none where it does not.
    #[schema(required)]
    pub object_address: Option<String>,
    /// The image storages that are bound to the hypervisor.
    pub storage_ids: Vec<StorageId>,
    /// The version of the hypervisor, which increases with every change by an administrator; also
    /// its `ETag`.
    pub version: u32,
}

/// A request to change a hypervisor (merge patch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HypervisorPatch {
    /// The most captures that run on the hypervisor at the same time, at most `max_work`. Captures
    /// that run already go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub max_captures: Option<u32>,
    /// Whether the hypervisor is older hardware with limited bandwidth for imaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_imaging_bandwidth: Option<bool>,
}

/// A request to register a hypervisor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HypervisorCreate {
    /// The name of the hypervisor; unique.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The location of the hypervisor.
    pub location_id: LocationId,
    /// The name of the driver that controls the hypervisor.
    #[serde(default = "default_driver")]
    #[schema(default = "qemu", min_length = 1, max_length = 64)]
    pub driver: String,
    /// The settings of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub driver_settings: BTreeMap<String, String>,
    /// The most tasks that run on the hypervisor at the same time; without it, 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub max_work: Option<u32>,
    /// The most captures that run on the hypervisor at the same time; without it, 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub max_captures: Option<u32>,
}

fn default_driver() -> String {
    "qemu".to_owned()
}

/// A new token of a hypervisor's agent with its secret, which is not shown again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentToken {
    /// The id of the token.
    pub id: TokenId,
    /// The hypervisor that the agent runs on.
    pub hypervisor_id: HypervisorId,
    /// The content of the file for `imprint agent --token-file`; keep it secret.
    pub token: String,
}
