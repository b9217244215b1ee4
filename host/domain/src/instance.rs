//! Instances and their disks.

use crate::{
    error::{Code, Error},
    id::{AccountId, DiskId, HypervisorId, ImageId, InstanceId, LocationId},
    name::Name,
    size::ByteSize,
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// The status of an instance.
    pub enum InstanceStatus {
        /// Its disk is being written.
        Deploying = "deploying",
        /// It exists; `power` says whether it runs.
        Ready = "ready",
        /// It could not be deployed.
        Error = "error",
        /// It is being removed.
        Deleting = "deleting",
    }
}

string_enum! {
    /// The power state of an instance.
    pub enum Power {
        /// It runs.
        Running = "running",
        /// Its processors are halted.
        Paused = "paused",
        /// It is off.
        Off = "off",
        /// Its hypervisor has not reported it yet.
        Unknown = "unknown",
    }
}

string_enum! {
    /// The origin of the primary disk of an instance.
    pub enum BootSource {
        /// A disk of its own, on its hypervisor.
        Disk = "disk",
        /// A volume of a block storage (S23).
        Volume = "volume",
    }
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
