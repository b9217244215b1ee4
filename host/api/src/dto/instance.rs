//! Instances.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{DiskId, HypervisorId, ImageId, InstanceId, LocationId, TaskId},
    instance::{BootSource, InstanceStatus, Power},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::Task;

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its id.
    #[schema(value_type = String, example = "ins_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub status: InstanceStatus,
    /// Whether it runs, as its hypervisor saw it last.
    pub power: Power,
    /// Where it is.
    #[schema(value_type = String)]
    pub location_id: LocationId,
    /// On which hypervisor.
    #[schema(value_type = String)]
    pub hypervisor_id: HypervisorId,
    /// The image that it was made from.
    #[schema(required)]
    pub image: Option<ImageName>,
    /// Where its primary disk comes from.
    pub boot_source: BootSource,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Whether an image of it can be created now.
    pub capture: CaptureAllowed,
    /// The last task that worked on it.
    #[schema(required, value_type = Option<String>)]
    pub task_id: Option<TaskId>,
    /// When it came to be.
    pub created_at: DateTime<Utc>,
}

/// The image that an instance was made from, while it exists.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageName {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ImageId,
    /// Its name.
    pub name: String,
}

/// A disk of an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// Its id.
    #[schema(value_type = String)]
    pub id: DiskId,
    /// The one that is captured.
    pub primary: bool,
    /// What the guest sees, in bytes.
    pub virtual_size_bytes: u64,
    /// `raw` or `qcow2`.
    pub format: String,
}

/// Whether an image of an instance can be created now, and why not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CaptureAllowed {
    /// Whether it can.
    pub allowed: bool,
    /// The code of the refusal that a request would get.
    #[schema(required)]
    pub code: Option<String>,
    /// The same for people.
    #[schema(required)]
    pub reason: Option<String>,
}

/// Makes an instance from an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceCreate {
    /// From which image.
    #[schema(value_type = String, example = "img_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub image_id: ImageId,
    /// The instance's name, and its host name where it can be one.
    #[schema(max_length = 128)]
    pub name: String,
    /// On which hypervisor; without it, one of the image's location is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub hypervisor_id: Option<HypervisorId>,
    /// Virtual processors; without it, 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub vcpus: Option<u32>,
    /// Memory in bytes; without it, 512 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67108864, maximum = 1099511627776_i64)]
    pub memory_bytes: Option<u64>,
    /// Size of the disk in bytes; without it, the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size_bytes: Option<u64>,
    /// One line each, as in `authorized_keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65536)]
    pub user_data: Option<String>,
    /// Whether it is started when its disk is written.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub start: bool,
}

const fn yes() -> bool {
    true
}

/// An instance and the task that works on it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceAndTask {
    /// The instance, as it is now.
    pub instance: Instance,
    /// The task.
    pub task: Task,
}
