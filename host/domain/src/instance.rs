//! Instances and their disks.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error},
    id::{AccountId, DiskId, HypervisorId, ImageId, InstanceId, LocationId},
    name::Name,
    size::ByteSize,
    time::Timestamp,
};

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceStatus {
    /// Its disk is being written.
    Deploying,
    /// It exists; `power` says whether it runs.
    Ready,
    /// It could not be deployed.
    Error,
    /// It is being removed.
    Deleting,
}

/// Whether an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    Running,
    /// Its processors are halted.
    Paused,
    /// It is off.
    Off,
    /// Nobody has told us yet.
    Unknown,
}

/// Where the primary disk of an instance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootSource {
    /// A disk of its own, on its hypervisor.
    Disk,
    /// A volume of a block storage (S23).
    Volume,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Who owns it.
    pub account_id: AccountId,
    /// Its name.
    pub name: Name,
    /// Where it runs.
    pub hypervisor_id: HypervisorId,
    /// Where that stands.
    pub location_id: LocationId,
    /// Where it is in its life.
    pub status: InstanceStatus,
    /// Whether it runs, as its agent saw it last.
    pub power: Power,
    /// Where its primary disk comes from.
    pub boot_source: BootSource,
    /// The image that it was deployed from.
    pub image_id: Option<ImageId>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory: ByteSize,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// A disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its id.
    pub id: DiskId,
    /// Whose disk it is.
    pub instance_id: InstanceId,
    /// The one that is captured (S16).
    pub primary: bool,
    /// What the guest sees.
    pub virtual_size: ByteSize,
    /// `raw` or `qcow2`.
    pub format: String,
}

impl InstanceStatus {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Ready => "ready",
            Self::Error => "error",
            Self::Deleting => "deleting",
        }
    }
}

impl Instance {
    /// Only a ready instance can be captured, started, stopped or deployed over.
    pub fn require_ready(&self) -> Result<(), Error> {
        match self.status {
            InstanceStatus::Ready => Ok(()),
            InstanceStatus::Deploying | InstanceStatus::Error | InstanceStatus::Deleting => Err(Error::new(
                Code::InstanceBusy,
                format!("the instance is {}; wait until it is ready", self.status.as_str()),
            )),
        }
    }
}

impl Power {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

impl BootSource {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Volume => "volume",
        }
    }
}
