//! `[limits]`: what one instance of a plugin may use.

use std::time::Duration;

use serde::Deserialize;

use super::quantity::{bytes, duration, rate};
use crate::error::LoadError;

/// What one instance of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all memories of the instance.
    pub memory: u64,
    /// The processor time of one call.
    pub cpu_per_call: Duration,
    /// The duration of one call.
    pub wall_per_call: Duration,
    /// The bytes that one instance may read through blobs.
    pub metadata_read: u64,
    /// The bytes that one call may return from the plugin.
    pub boundary_bytes: u64,
    /// The resource handles that an instance may hold.
    pub handles: u32,
    /// The instances that may exist at the same time.
    pub instances: u32,
    /// The log events that a plugin may write in one second.
    pub log_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu_per_call: Duration::from_secs(2),
            wall_per_call: Duration::from_secs(60),
            metadata_read: 4 << 30,
            boundary_bytes: 4 << 20,
            handles: 4096,
            instances: 16,
            log_rate: 200,
        }
    }
}

impl Limits {
    /// Returns the most that a host gives to any plugin by default.
    pub fn caps() -> Self {
        Self {
            memory: 256 << 20,
            cpu_per_call: Duration::from_secs(30),
            wall_per_call: Duration::from_secs(300),
            metadata_read: 64 << 30,
            boundary_bytes: 16 << 20,
            handles: 4096,
            instances: 64,
            log_rate: 1000,
        }
    }

    pub(super) fn capped(self, caps: &Self) -> Self {
        Self {
            memory: self.memory.min(caps.memory),
            cpu_per_call: self.cpu_per_call.min(caps.cpu_per_call),
            wall_per_call: self.wall_per_call.min(caps.wall_per_call),
            metadata_read: self.metadata_read.min(caps.metadata_read),
            boundary_bytes: self.boundary_bytes.min(caps.boundary_bytes),
            handles: self.handles.clamp(1, caps.handles),
            instances: self.instances.clamp(1, caps.instances),
            log_rate: self.log_rate.clamp(1, caps.log_rate),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LimitsTable {
    memory: Option<String>,
    cpu_per_call: Option<String>,
    wall_per_call: Option<String>,
    metadata_read: Option<String>,
    boundary_bytes: Option<String>,
    handles: Option<u32>,
    instances: Option<u32>,
    log_rate: Option<String>,
}

impl LimitsTable {
    pub(super) fn parse(self) -> Result<Limits, LoadError> {
        let default = Limits::default();
        Ok(Limits {
            memory: self.memory.map_or(Ok(default.memory), |text| bytes("limits.memory", &text))?,
            cpu_per_call: self
                .cpu_per_call
                .map_or(Ok(default.cpu_per_call), |text| duration("limits.cpu-per-call", &text))?,
            wall_per_call: self
                .wall_per_call
                .map_or(Ok(default.wall_per_call), |text| duration("limits.wall-per-call", &text))?,
            metadata_read: self
                .metadata_read
                .map_or(Ok(default.metadata_read), |text| bytes("limits.metadata-read", &text))?,
            boundary_bytes: self
                .boundary_bytes
                .map_or(Ok(default.boundary_bytes), |text| bytes("limits.boundary-bytes", &text))?,
            handles: self.handles.unwrap_or(default.handles),
            instances: self.instances.unwrap_or(default.instances),
            log_rate: self.log_rate.map_or(Ok(default.log_rate), |text| rate("limits.log-rate", &text))?,
        })
    }
}
