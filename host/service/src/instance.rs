//! Instances: list, show, deploy, start, stop, delete.

use imprint_domain::{
    Error,
    id::{AccountId, DiskId, HypervisorId, ImageId, InstanceId, LocationId, TaskId},
    instance::{BootSource, InstanceStatus, Power},
    name::Name,
    size::ByteSize,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service, TaskView};

/// The image that an instance was deployed from, while it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: Name,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskView {
    /// Its id.
    pub id: DiskId,
    /// The one that is captured (S16).
    pub primary: bool,
    /// What the guest sees.
    pub virtual_size_bytes: ByteSize,
    /// `raw` or `qcow2`.
    pub format: String,
}

/// Whether the camera can be pressed, and if not why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureAllowed {
    /// It can.
    pub allowed: bool,
    /// The stable code of the reason.
    pub code: Option<String>,
    /// The reason, for people.
    pub reason: Option<String>,
}

/// An instance, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Its name.
    pub name: Name,
    /// Where it is in its life.
    pub status: InstanceStatus,
    /// Whether it runs.
    pub power: Power,
    /// Where it is.
    pub location_id: LocationId,
    /// On which machine.
    pub hypervisor_id: HypervisorId,
    /// What it was deployed from.
    pub image: Option<ImageName>,
    /// Where its primary disk comes from.
    pub boot_source: BootSource,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory_bytes: ByteSize,
    /// Its disks.
    pub disks: Vec<DiskView>,
    /// Whether it can be captured now.
    pub capture: CaptureAllowed,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// An instance and the task that works on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTask {
    /// The instance.
    pub instance: InstanceView,
    /// The task.
    pub task: TaskView,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// Which instances to list; oldest last.
#[derive(Clone, Debug, Default)]
pub struct InstanceList {
    /// Which page.
    pub page: PageRequest,
}

/// A wish for a new instance.
#[derive(Clone, Debug)]
pub struct InstanceCreate {
    /// From which image.
    pub image_id: ImageId,
    /// Its name.
    pub name: Name,
    /// On which machine; `None` chooses one that can reach the image.
    pub hypervisor_id: Option<HypervisorId>,
    /// 1 to 64; `None` takes 1.
    pub vcpus: Option<u32>,
    /// 64 MiB to 1 TiB; `None` takes 512 MiB.
    pub memory: Option<ByteSize>,
    /// Not below the image's virtual size; `None` takes that.
    pub disk_size: Option<ByteSize>,
    /// Lines of `authorized_keys`, at most 32.
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    pub user_data: Option<String>,
    /// Start it at the end.
    pub start: bool,
}

impl Service {
    /// The account's instances, latest first; for admins everybody's.
    pub async fn instance_list(&self, op: &Op, list: &InstanceList) -> Result<Page<InstanceView>, Error> {
        pending!(op, list)
    }

    /// One instance.
    pub async fn instance_show(&self, op: &Op, id: InstanceId) -> Result<InstanceView, Error> {
        pending!(op, id)
    }

    /// Deploys a new instance from an image.
    pub async fn instance_create(&self, op: &Op, request: InstanceCreate) -> Result<InstanceTask, Error> {
        pending!(op, request)
    }

    /// Starts an instance.
    pub async fn instance_start(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        pending!(op, id)
    }

    /// Shuts an instance down.
    pub async fn instance_stop(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        pending!(op, id)
    }

    /// Stops an instance and removes its disks.
    pub async fn instance_delete(&self, op: &Op, id: InstanceId) -> Result<InstanceTask, Error> {
        pending!(op, id)
    }
}
